import { Switch, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import type { Merchant, WaitingChange } from '../../../api/contract/settings.ts';
import { changeSettings, merchantQuery } from '../../api/settings.ts';
import { Refusal, useAct } from '../../parts/act.tsx';
import { Notice } from '../../parts/notice.tsx';
import classes from './merchant.module.css';
import { Waiting } from './waiting.tsx';

type Settings = Merchant['settings'];

/** The settings that are on or off. */
export type SwitchName = {
  [name in keyof Settings]: Settings[name] extends boolean ? name : never;
}[keyof Settings];

export interface SwitchWords {
  readonly name: SwitchName;
  readonly label: string;
  /** What follows from it. */
  readonly on: string;
  readonly off: string;
}

interface Props extends SwitchWords {
  readonly value: boolean;
  readonly mayManage: boolean;
  /** Something to know before it is switched on. */
  readonly warning?: string | null;
  /** What was asked for and does not hold yet. */
  readonly waiting: readonly WaitingChange[];
}

/** A setting that is on or off, with what follows from either. It is saved as soon as it is switched; a guard goes off later. */
export function SwitchSetting({ name, label, on, off, value, mayManage, warning = null, waiting }: Props) {
  const client = useQueryClient();
  const { busy, problem, run } = useAct();
  const waits = waiting.find(({ changes }) => changes[name] !== undefined);
  return (
    <div className={classes.setting}>
      <Switch
        label={label}
        checked={value}
        disabled={!mayManage || busy}
        onChange={(event) => {
          const { checked } = event.currentTarget;
          void run(async () => {
            client.setQueryData(merchantQuery.queryKey, await changeSettings({ [name]: checked }));
            await client.invalidateQueries({ queryKey: ['me'] });
          });
        }}
      />
      <dl className={classes.consequences}>
        <div data-now={value || undefined}>
          <dt>On</dt>
          <dd>{on}</dd>
        </div>
        <div data-now={!value || undefined}>
          <dt>Off</dt>
          <dd>{off}</dd>
        </div>
      </dl>
      {mayManage && !value && warning && <Notice tone="amber" title={warning} />}
      {waits && <Waiting change={waits} label={label} />}
      <Refusal problem={problem} />
      <Text size="xs" c="dimmed" role="status">
        {busy ? 'Saving …' : ''}
      </Text>
    </div>
  );
}
