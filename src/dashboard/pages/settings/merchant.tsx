import { Switch, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import type { Merchant as MerchantShown } from '../../../api/contract/settings.ts';
import { useMay, useMe } from '../../api/session.ts';
import { changeSettings, merchantQuery } from '../../api/settings.ts';
import { Refusal, useAct } from '../../parts/act.tsx';
import { Failed, Loading } from '../../parts/answers.tsx';
import { Id } from '../../parts/id.tsx';
import { Notice } from '../../parts/notice.tsx';
import { Facts, Page, Section } from '../../parts/page.tsx';
import classes from './merchant.module.css';

type Settings = MerchantShown['settings'];

/** What each setting means, and what follows from it as it stands. */
const SETTINGS: readonly {
  readonly name: keyof Settings;
  readonly label: string;
  readonly on: string;
  readonly off: string;
}[] = [
  {
    name: 'full_refund_when_amount_absent',
    label: 'A request without an amount refunds everything that is left',
    on: 'As the Juspay contract has it: a program that forgets the amount gives back all that is left of the order.',
    off: 'A refund request without an amount is refused, so that a forgotten amount cannot empty an order.',
  },
  {
    name: 'require_second_factor',
    label: 'Everybody in the team needs a second factor',
    on: 'Who signs in without a second factor may do nothing but set one up. API keys are not touched by this.',
    off: 'A password is enough to sign in and to refund. Each person may set a second factor up for themselves.',
  },
];

/** The merchant, and what it decides for itself. */
export function Merchant() {
  const merchant = useQuery(merchantQuery);
  const mayManage = useMay('settings.manage');
  const me = useMe();
  return (
    <Page title="Merchant" about={mayManage ? undefined : 'Only the role Admin may change these settings.'}>
      {merchant.isPending && <Loading rows={4} />}
      {merchant.isError && <Failed error={merchant.error} onRetry={() => void merchant.refetch()} />}
      {merchant.data && (
        <div className={classes.narrow}>
          <Facts
            facts={[
              ['Name', merchant.data.name],
              ['Merchant id', <Id key="id" value={merchant.data.merchant_id} of="merchant id" whole />],
              [
                'Money',
                me.merchant.sandbox
                  ? 'On the sandbox: no account moves real money.'
                  : 'At least one gateway account moves real money.',
              ],
            ]}
          />
          <Section title="Settings">
            {SETTINGS.map((setting) => (
              <Setting
                key={setting.name}
                {...setting}
                value={merchant.data.settings[setting.name]}
                mayManage={mayManage}
                warning={
                  setting.name === 'require_second_factor' && me.user && !me.user.second_factor
                    ? 'You have no second factor yourself: switched on, this page sends you to set one up.'
                    : null
                }
              />
            ))}
          </Section>
        </div>
      )}
    </Page>
  );
}

function Setting({
  name,
  label,
  on,
  off,
  value,
  mayManage,
  warning,
}: (typeof SETTINGS)[number] & {
  readonly value: boolean;
  readonly mayManage: boolean;
  readonly warning: string | null;
}) {
  const client = useQueryClient();
  const { busy, problem, run } = useAct();
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
      <Refusal problem={problem} />
      <Text size="xs" c="dimmed" role="status">
        {busy ? 'Saving …' : ''}
      </Text>
    </div>
  );
}
