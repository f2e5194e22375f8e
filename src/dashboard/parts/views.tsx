import { ActionIcon, Button, Checkbox, Group, Menu, Popover, Stack, Text, TextInput } from '@mantine/core';
import { IconBookmarkPlus, IconDotsVertical, IconUsers } from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { removeView, saveView, type ViewedPage, viewsQuery } from '../api/views.ts';
import { Refusal, useAct } from './act.tsx';
import { fieldProblem } from './field-problem.ts';
import classes from './views.module.css';

type Search = Readonly<Record<string, string | undefined>>;

interface Props {
  readonly page: ViewedPage;
  /** What the page's address says now. */
  readonly search: Search;
  /** Goes to the same page with this instead. */
  readonly onApply: (search: Record<string, string>) => void;
}

/** What belongs to the moment and not to a view: the place in the list, and what stands open. */
const PASSING = ['cursor', 'open', 'tab', 'refund', 'view'];

/** The saved views of a list as tabs, and the way to keep what is shown now as one. */
export function Views({ page, search, onApply }: Props) {
  const views = useQuery(viewsQuery(page)).data ?? [];
  const query = queryOf(search);
  const active = views.find((view) => view.view_id === search['view']);
  if (views.length === 0 && query === '') return null;

  return (
    <nav className={classes.views} aria-label="Saved views">
      {views.length > 0 && (
        <button
          type="button"
          className={classes.view}
          aria-current={!active && query === '' ? 'true' : undefined}
          onClick={() => onApply({})}
        >
          All
        </button>
      )}
      {views.map((view) => (
        <button
          key={view.view_id}
          type="button"
          className={classes.view}
          aria-current={view === active ? 'true' : undefined}
          title={view.shared ? `${view.name}, shared by ${view.made_by}` : view.name}
          onClick={() =>
            onApply({ ...Object.fromEntries(new URLSearchParams(view.query)), view: view.view_id })
          }
        >
          {view.shared && <IconUsers size={13} aria-label="shared" />}
          {view.name}
          {view === active && view.query !== query && <span className={classes.changed}>changed</span>}
        </button>
      ))}
      {active?.mine && (
        <ActiveView
          key={active.view_id}
          name={active.name}
          changed={active.query !== query}
          onSave={() => saveView(active.view_id, { name: active.name, page, query, shared: active.shared })}
          onRemove={async () => {
            await removeView(active.view_id);
            onApply(Object.fromEntries(new URLSearchParams(query)));
          }}
          page={page}
        />
      )}
      {query !== '' && active?.query !== query && (
        <NewView
          page={page}
          query={query}
          onSaved={(viewId) => onApply({ ...Object.fromEntries(new URLSearchParams(query)), view: viewId })}
        />
      )}
    </nav>
  );
}

function ActiveView({
  name,
  page,
  changed,
  onSave,
  onRemove,
}: {
  readonly name: string;
  readonly page: ViewedPage;
  readonly changed: boolean;
  readonly onSave: () => Promise<unknown>;
  readonly onRemove: () => Promise<unknown>;
}) {
  const client = useQueryClient();
  const { busy, problem, run } = useAct();
  const act = (does: () => Promise<unknown>) =>
    void run(async () => {
      await does();
      await client.invalidateQueries({ queryKey: ['views', page] });
    });
  return (
    <>
      <Menu position="bottom-start">
        <Menu.Target>
          <ActionIcon variant="subtle" color="gray" size={26} loading={busy} aria-label={`View ${name}`}>
            <IconDotsVertical size={15} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item disabled={!changed} onClick={() => act(onSave)}>
            Save what is shown as “{name}”
          </Menu.Item>
          <Menu.Item color="red" onClick={() => act(onRemove)}>
            Remove view “{name}”
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <Refusal problem={problem} />
    </>
  );
}

function NewView({
  page,
  query,
  onSaved,
}: {
  readonly page: ViewedPage;
  readonly query: string;
  readonly onSaved: (viewId: string) => void;
}) {
  const client = useQueryClient();
  const { busy, problem, run, clear } = useAct();
  const [opened, setOpened] = useState(false);
  const [name, setName] = useState('');
  const [shared, setShared] = useState(false);
  // One id for each opening: a second press after a lost answer saves the same view.
  const [viewId, setViewId] = useState('');

  function toggle(open: boolean): void {
    if (open) {
      setViewId(crypto.randomUUID());
      setName('');
      clear();
    }
    setOpened(open);
  }

  async function save(event: FormEvent): Promise<void> {
    event.preventDefault();
    const done = await run(async () => {
      await saveView(viewId, { name: name.trim(), page, query, shared });
      await client.invalidateQueries({ queryKey: ['views', page] });
    });
    if (!done) return;
    setOpened(false);
    onSaved(viewId);
  }

  return (
    <Popover opened={opened} onChange={toggle} position="bottom-start" trapFocus returnFocus width={290}>
      <Popover.Target>
        <Button
          variant="subtle"
          color="gray"
          size="compact-sm"
          leftSection={<IconBookmarkPlus size={14} />}
          onClick={() => toggle(!opened)}
        >
          Save view
        </Button>
      </Popover.Target>
      <Popover.Dropdown>
        <form onSubmit={(event) => void save(event)}>
          <Stack gap="xs">
            <TextInput
              label="Name of the view"
              description="Keeps the filters and columns of this list."
              value={name}
              maxLength={60}
              required
              onChange={(event) => setName(event.currentTarget.value)}
              error={fieldProblem(problem, 'name')}
            />
            <Checkbox
              label="Everybody of the team has it"
              checked={shared}
              onChange={(event) => setShared(event.currentTarget.checked)}
            />
            <Refusal problem={problem} fields={['name']} />
            <Group justify="space-between">
              <Text size="xs" c="dimmed">
                {shared ? '' : 'Only you see it.'}
              </Text>
              <Button type="submit" size="compact-sm" loading={busy} disabled={name.trim() === ''}>
                Save view
              </Button>
            </Group>
          </Stack>
        </form>
      </Popover.Dropdown>
    </Popover>
  );
}

function queryOf(search: Search): string {
  const kept = Object.entries(search)
    .filter((entry): entry is [string, string] => Boolean(entry[1]) && !PASSING.includes(entry[0]))
    .sort(([one], [other]) => (one < other ? -1 : 1));
  return new URLSearchParams(kept).toString();
}
