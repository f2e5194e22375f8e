import { ActionIcon, AppShell, Burger, Group, Kbd, Text, Tooltip, UnstyledButton } from '@mantine/core';
import { useDisclosure, useHotkeys, useLocalStorage } from '@mantine/hooks';
import {
  IconBook,
  IconLayoutSidebarLeftCollapse,
  IconLayoutSidebarLeftExpand,
  IconSearch,
} from '@tabler/icons-react';
import { useQueryClient } from '@tanstack/react-query';
import { Outlet, useNavigate, useRouterState } from '@tanstack/react-router';
import { useEffect } from 'react';
import { SIGNED_OUT } from '../api/client.ts';
import { useLive } from '../api/live.ts';
import { useMe } from '../api/session.ts';
import { BooksStrip } from './books-strip.tsx';
import { KeysHelp } from './keys-help.tsx';
import { LiveIndicator } from './live-indicator.tsx';
import { openPalette, Palette } from './palette.tsx';
import { PersonMenu } from './person-menu.tsx';
import { Rail } from './rail.tsx';
import classes from './shell.module.css';

/** What stands around every page: the rail, the search, whether the page is live, and who is signed in. */
export function Shell() {
  const me = useMe();
  const live = useLive();
  const client = useQueryClient();
  const navigate = useNavigate();
  const here = useRouterState({ select: (state) => state.location.href });
  const pathname = useRouterState({ select: (state) => state.location.pathname });
  const [menuOpen, menu] = useDisclosure(false);
  const [helpOpen, help] = useDisclosure(false);
  const [narrowRail, setNarrowRail] = useLocalStorage({ key: 'refundry-narrow-rail', defaultValue: false });

  useEffect(() => {
    const toSignIn = () => {
      // Several questions may be refused at once, some while this is on its way there.
      if (pathname === '/sign-in') return;
      // Whoever goes back from there must not see what was shown here.
      void navigate({ to: '/sign-in', search: { back: here } }).then(() => client.clear());
    };
    window.addEventListener(SIGNED_OUT, toSignIn);
    return () => window.removeEventListener(SIGNED_OUT, toSignIn);
  }, [navigate, client, here, pathname]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new page is why it closes
  useEffect(() => menu.close(), [pathname]);
  useHotkeys([
    ['/', openPalette],
    ['shift+?', help.open],
    ['f', () => document.querySelector<HTMLElement>('[data-first-filter], [data-filters] button')?.focus()],
  ]);

  return (
    <AppShell
      header={{ height: 48 }}
      navbar={{ width: narrowRail ? 56 : 216, breakpoint: 'sm', collapsed: { mobile: !menuOpen } }}
      transitionDuration={0}
    >
      <a href="#content" className={classes.skip}>
        Skip to the content
      </a>
      <AppShell.Header className={classes.header}>
        <Group h="100%" px="sm" gap="sm" wrap="nowrap">
          <Burger opened={menuOpen} onClick={menu.toggle} hiddenFrom="sm" size="sm" aria-label="Menu" />
          <Text className={classes.mark} visibleFrom="sm">
            Refundry
          </Text>
          <UnstyledButton className={classes.search} onClick={openPalette}>
            <IconSearch size={15} aria-hidden />
            <span className={classes.searchWords}>Search orders, refunds, ids, customers</span>
            <Kbd size="xs" visibleFrom="sm">
              /
            </Kbd>
          </UnstyledButton>
          <Group gap="xs" ml="auto" wrap="nowrap">
            <LiveIndicator state={live} />
            <Tooltip label="API reference">
              <ActionIcon
                component="a"
                href="/docs"
                target="_blank"
                variant="subtle"
                color="gray"
                aria-label="API reference"
                visibleFrom="sm"
              >
                <IconBook size={18} />
              </ActionIcon>
            </Tooltip>
            <PersonMenu onHelp={help.open} />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar className={classes.rail}>
        <Rail narrow={narrowRail} />
        <Tooltip label={narrowRail ? 'Widen the menu' : 'Narrow the menu'} position="right">
          <ActionIcon
            className={classes.fold}
            variant="subtle"
            color="gray"
            visibleFrom="sm"
            aria-label={narrowRail ? 'Widen the menu' : 'Narrow the menu'}
            onClick={() => setNarrowRail(!narrowRail)}
          >
            {narrowRail ? (
              <IconLayoutSidebarLeftExpand size={18} />
            ) : (
              <IconLayoutSidebarLeftCollapse size={18} />
            )}
          </ActionIcon>
        </Tooltip>
      </AppShell.Navbar>
      <AppShell.Main id="content" tabIndex={-1} className={classes.main}>
        <BooksStrip />
        {me.merchant.sandbox && (
          <div className={classes.strip} role="note">
            <b>{me.merchant.name}</b> is on the sandbox: no real money moves.
          </div>
        )}
        <Outlet />
      </AppShell.Main>
      <Palette />
      <KeysHelp opened={helpOpen} onClose={help.close} />
    </AppShell>
  );
}
