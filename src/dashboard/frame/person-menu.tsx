import { Avatar, Menu, Text, UnstyledButton, useMantineColorScheme, VisuallyHidden } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { tellOtherTabs, useMe } from '../api/session.ts';
import { signOut } from '../api/sign-in.ts';
import { LOCAL_ZONE, usePreferences } from '../preferences.tsx';

/** Who is signed in, and what they choose for themselves: colours, zone of times, account. */
export function PersonMenu({ onHelp }: { readonly onHelp: () => void }) {
  const { user, role, merchant } = useMe();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const { zoneChoice, chooseZone } = usePreferences();
  const client = useQueryClient();
  const navigate = useNavigate();
  const name = user?.name ?? 'API key';

  async function leave(): Promise<void> {
    await signOut();
    client.clear();
    tellOtherTabs();
    await navigate({ to: '/sign-in', search: {} });
  }

  return (
    <Menu position="bottom-end" width={250}>
      <Menu.Target>
        <UnstyledButton>
          <VisuallyHidden>Account of {name}</VisuallyHidden>
          <Avatar
            size={30}
            radius="xl"
            name={name}
            styles={{ placeholder: { color: 'var(--ink)', background: 'var(--chosen)' } }}
          />
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          <Text size="sm" c="var(--ink)" fw={500}>
            {name}
          </Text>
          <Text size="xs">{user?.email}</Text>
          <Text size="xs">
            {role} at {merchant.name}
          </Text>
        </Menu.Label>
        <Menu.Item component={Link} to="/account">
          Account and security
        </Menu.Item>
        <Menu.Item onClick={onHelp}>Keyboard</Menu.Item>
        <Menu.Divider />
        <Menu.Label>Colours</Menu.Label>
        {(['auto', 'light', 'dark'] as const).map((scheme) => (
          <Menu.Item
            key={scheme}
            onClick={() => setColorScheme(scheme)}
            fw={colorScheme === scheme ? 600 : undefined}
            closeMenuOnClick={false}
          >
            {{ auto: "As the system's", light: 'Light', dark: 'Dark' }[scheme]}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Label>Times in</Menu.Label>
        <Menu.Item
          onClick={() => chooseZone('local')}
          fw={zoneChoice === 'local' ? 600 : undefined}
          closeMenuOnClick={false}
        >
          {LOCAL_ZONE}
        </Menu.Item>
        <Menu.Item
          onClick={() => chooseZone('utc')}
          fw={zoneChoice === 'utc' ? 600 : undefined}
          closeMenuOnClick={false}
        >
          UTC
        </Menu.Item>
        <Menu.Divider />
        <Menu.Item onClick={() => void leave()}>Sign out</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
