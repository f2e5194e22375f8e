import { Tooltip } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { approvalsQuery } from '../api/batches.ts';
import { countsQuery } from '../api/refunds.ts';
import { useMay, useMe } from '../api/session.ts';
import { merchantQuery } from '../api/settings.ts';
import { PLACES, type Place } from './places.ts';
import classes from './rail.module.css';

/** How much waits for people, by the counts of the rail; null for approvals where nobody has to approve anything. */
function useWaiting(): Readonly<Record<NonNullable<Place['counts']>, number | null>> {
  const mayRead = useMay('batches.read');
  const attention = useQuery(countsQuery({})).data?.attention ?? 0;
  const approvals = useQuery({ ...approvalsQuery, enabled: mayRead }).data?.length ?? 0;
  const policy = useQuery({ ...merchantQuery, enabled: mayRead }).data?.settings.batch_approval ?? false;
  return { manual_review: attention, approvals: policy || approvals > 0 ? approvals : null };
}

/** The way to every page that the person's role may see. */
export function Rail({ narrow }: { readonly narrow: boolean }) {
  const { permissions } = useMe();
  const waiting = useWaiting();
  return (
    <nav aria-label="Main" className={classes.rail} data-narrow={narrow || undefined}>
      {PLACES.map(({ group, places }) => {
        const allowed = places
          .filter(({ permission }) => !permission || permissions.includes(permission))
          .filter(({ counts }) => counts !== 'approvals' || waiting.approvals !== null);
        if (allowed.length === 0) return null;
        return (
          <div key={group ?? ''} className={classes.group}>
            {group && <div className={classes.groupName}>{group}</div>}
            {allowed.map(({ label, to, icon: Icon, counts: counted }) => {
              const count = (counted && waiting[counted]) ?? 0;
              return (
                <Tooltip key={to} label={label} position="right" disabled={!narrow}>
                  <Link
                    to={to}
                    className={classes.link}
                    activeOptions={{ exact: to === '/', includeSearch: false }}
                    activeProps={{ 'data-active': true, 'aria-current': 'page' }}
                    // Where the words are hidden, the name has to be said.
                    {...(narrow && { 'aria-label': count > 0 ? `${label}, ${count}` : label })}
                  >
                    <Icon size={17} stroke={1.7} aria-hidden />
                    <span className={classes.label}>{label}</span>{' '}
                    {count > 0 && <span className={classes.count}>{count > 999 ? '999+' : count}</span>}
                  </Link>
                </Tooltip>
              );
            })}
          </div>
        );
      })}
    </nav>
  );
}
