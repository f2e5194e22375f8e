import { Button } from '@mantine/core';
import { IconUserPlus } from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { useMay, useMe } from '../../api/session.ts';
import { teamQuery } from '../../api/team.ts';
import { Empty, Failed, Loading } from '../../parts/answers.tsx';
import { Page } from '../../parts/page.tsx';
import { KeepSecret } from '../../parts/secret.tsx';
import { DataTable } from '../../parts/table.tsx';
import { absoluteTime } from '../../parts/time.tsx';
import { usePreferences } from '../../preferences.tsx';
import { AccessLog } from './access-log.tsx';
import { type Ask, type MadeLink, TeamDialog } from './team-dialogs.tsx';
import { columnsWith, rowsOf } from './team-table.tsx';

/** The people who may sign in: invited, given a role, kept out again; and the record of all that. */
export function Team() {
  return useMay('team.manage') ? (
    <People />
  ) : (
    <Page title="Team">
      <Empty title="Only an admin may see and change who is in the team." />
    </Page>
  );
}

function People() {
  const client = useQueryClient();
  const { merchant } = useMe();
  const team = useQuery(teamQuery);
  const [asks, setAsks] = useState<Ask | null>(null);
  const [made, setMade] = useState<MadeLink | null>(null);
  const from = useRef<HTMLElement>(null);

  const ask = useCallback((asked: Ask) => {
    from.current = buttonOf(document.activeElement);
    setAsks(asked);
  }, []);
  // Columns made anew would make every cell anew, and close the menu that stands open in one.
  const columns = useMemo(
    () => columnsWith(merchant.require_second_factor, ask),
    [merchant.require_second_factor, ask],
  );
  useEffect(() => {
    if (asks === null && made === null) from.current?.focus();
  }, [asks, made]);

  return (
    <Page
      title="Team"
      about={`Who may sign in for ${merchant.name}, and what they may do.`}
      actions={
        <Button leftSection={<IconUserPlus size={16} />} onClick={() => ask({ to: 'invite' })}>
          Invite a person
        </Button>
      }
    >
      {team.isPending && <Loading />}
      {team.isError && <Failed error={team.error} onRetry={() => void team.refetch()} />}
      {team.data && (
        <DataTable
          name="People"
          columns={columns}
          rows={rowsOf(team.data)}
          rowId={(row) => row.id}
          fetching={team.isFetching}
        />
      )}
      <AccessLog />
      {asks && (
        <TeamDialog
          asks={asks}
          onLink={setMade}
          onClose={() => {
            setAsks(null);
            void client.invalidateQueries({ queryKey: teamQuery.queryKey });
          }}
        />
      )}
      {made && <LinkMade made={made} onDone={() => setMade(null)} />}
    </Page>
  );
}

/** Where the focus goes once all is done: an item of a menu is gone by then, so its menu's button. */
function buttonOf(focused: Element | null): HTMLElement | null {
  const menu = focused?.closest('[role=menu]')?.getAttribute('aria-labelledby');
  return menu ? document.getElementById(menu) : focused instanceof HTMLElement ? focused : null;
}

function LinkMade({ made, onDone }: { readonly made: MadeLink; readonly onDone: () => void }) {
  const { zone } = usePreferences();
  const until = absoluteTime(new Date(made.expires_at), zone);
  return (
    <KeepSecret
      title={`Link for ${made.name}`}
      value={made.link}
      of="link"
      keepWhere={`Send it to ${made.name} by a way that nobody else reads: whoever opens it first chooses the password. It works once, until ${until}.`}
      onDone={onDone}
    />
  );
}
