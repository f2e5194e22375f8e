import { useQuery } from '@tanstack/react-query';
import { useMay, useMe } from '../../api/session.ts';
import { merchantQuery } from '../../api/settings.ts';
import { Failed, Loading } from '../../parts/answers.tsx';
import { Id } from '../../parts/id.tsx';
import { Facts, Page, Section } from '../../parts/page.tsx';
import classes from './merchant.module.css';
import { SwitchSetting, type SwitchWords } from './switch-setting.tsx';

const SETTINGS: readonly SwitchWords[] = [
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
    off: 'A password is enough to sign in and to refund. Each person may set a second factor up for themselves. Switching this off takes a second admin, or a day where there is none.',
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
              <SwitchSetting
                key={setting.name}
                {...setting}
                value={merchant.data.settings[setting.name]}
                mayManage={mayManage}
                waiting={merchant.data.waiting_changes}
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
