import { Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { WebhookEndpointHealth } from '../../../api/contract/webhook-endpoints.ts';
import { endpointHealthQuery } from '../../api/webhooks.ts';
import { hourText } from '../../parts/time.tsx';
import { usePreferences } from '../../preferences.tsx';
import classes from './health-strip.module.css';

/** An endpoint's last 24 hours: what was acknowledged stands on the line, what failed hangs below it. */
export function HealthStrip({ endpointId }: { readonly endpointId: string }) {
  const health = useQuery(endpointHealthQuery(endpointId));
  const { zone } = usePreferences();
  if (health.isError) {
    return (
      <Text size="xs" c="dimmed">
        The last 24 hours could not be read.
      </Text>
    );
  }
  if (!health.data) return null;
  const { hours, delivered, failed, waiting } = health.data;
  const most = Math.max(1, ...hours.map((hour) => Math.max(hour.delivered, hour.failed)));
  return (
    <div>
      <div className={classes.strip} role="img" aria-label={spoken(health.data, zone)}>
        {hours.map((hour) => (
          <span
            key={hour.from}
            className={classes.hour}
            title={`${hourText(new Date(hour.from), zone)}: ${hour.delivered} delivered, ${hour.failed} failed`}
          >
            <span className={classes.up}>
              {hour.delivered > 0 && <span style={{ height: heightOf(hour.delivered, most, 22) }} />}
            </span>
            <span className={classes.down}>
              {hour.failed > 0 && <span style={{ height: heightOf(hour.failed, most, 12) }} />}
            </span>
          </span>
        ))}
      </div>
      <div className={classes.ends}>
        <span>24 h ago</span>
        <span>now</span>
      </div>
      <Text size="xs" c="dimmed" className="figure">
        {delivered} delivered, {failed} failed{waiting > 0 && `, ${waiting} waiting`}
      </Text>
    </div>
  );
}

const LEAST_PX = 3;

function heightOf(count: number, most: number, fullPx: number): number {
  return Math.max(LEAST_PX, Math.round((count / most) * fullPx));
}

function spoken({ hours, delivered, failed }: WebhookEndpointHealth, zone: string): string {
  const failures = hours
    .filter((hour) => hour.failed > 0)
    .map((hour) => `${hour.failed} in the hour from ${hourText(new Date(hour.from), zone)}`);
  const all = `Last 24 hours: ${delivered} tries delivered, ${failed} failed`;
  return failures.length > 0 ? `${all}: ${failures.join(', ')}` : all;
}
