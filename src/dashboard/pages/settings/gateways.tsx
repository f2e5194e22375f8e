import { Button } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import type { GatewayAccount } from '../../../api/contract/gateway-accounts.ts';
import { accountsQuery, gatewaysQuery } from '../../api/gateways.ts';
import { useMay } from '../../api/session.ts';
import { Empty, Failed, Loading } from '../../parts/answers.tsx';
import { Page } from '../../parts/page.tsx';
import { SidePanel } from '../../parts/panel.tsx';
import { AccountCard } from './gateway-account.tsx';
import { EditAccount, NewAccount } from './gateway-forms.tsx';
import classes from './gateways.module.css';

/** How busy and how healthy accounts are changes by the second. */
const REFRESH_MS = 5_000;

/** The accounts at payment gateways: how they do, and their settings. */
export function Gateways() {
  const { open, add } = useSearch({ from: '/signed-in/settings/gateways' });
  const navigate = useNavigate({ from: '/settings/gateways' });
  const accounts = useQuery({ ...accountsQuery, refetchInterval: REFRESH_MS });
  const gateways = useQuery(gatewaysQuery);
  const mayManage = useMay('gateways.manage');
  const gatewayOf = (account: GatewayAccount) =>
    gateways.data?.find(({ gateway }) => gateway === account.gateway);
  const opened = accounts.data?.find((account) => account.gateway_account_id === open);
  const close = () => void navigate({ search: {} });

  const addAccount = mayManage && (
    <Button leftSection={<IconPlus size={16} />} onClick={() => void navigate({ search: { add: 'choose' } })}>
      Add account
    </Button>
  );
  return (
    <Page
      title="Gateways"
      about={
        <>
          Refunds go out through these accounts, each to the one that took the payment.
          {!mayManage && ' Only the role Admin may add or change them.'}
        </>
      }
      actions={addAccount}
    >
      {(accounts.isPending || gateways.isPending) && <Loading />}
      {accounts.isError && <Failed error={accounts.error} onRetry={() => void accounts.refetch()} />}
      {gateways.isError && <Failed error={gateways.error} onRetry={() => void gateways.refetch()} />}
      {accounts.data?.length === 0 && (
        <Empty title="No account yet: refunds cannot go anywhere.">{addAccount}</Empty>
      )}
      {accounts.data && gateways.data && (
        <div className={classes.accounts}>
          {accounts.data.map((account) => (
            <AccountCard
              key={account.gateway_account_id}
              account={account}
              gateway={gatewayOf(account)}
              mayManage={mayManage}
              onEdit={() => void navigate({ search: { open: account.gateway_account_id } })}
            />
          ))}
        </div>
      )}
      {mayManage && gateways.data && add !== undefined && (
        <SidePanel title="Add account" label="Add account" onClose={close}>
          <NewAccount
            key={add}
            gateways={gateways.data}
            chosen={gateways.data.find(({ gateway }) => gateway === add)}
            onChoose={(gateway) => void navigate({ search: { add: gateway } })}
            onAdded={(account) =>
              void navigate({ search: { open: account.gateway_account_id }, replace: true })
            }
          />
        </SidePanel>
      )}
      {mayManage && opened && gateways.data && (
        <SidePanel
          title={`${gatewayOf(opened)?.label ?? opened.gateway} ${opened.name}`}
          label="Edit account"
          onClose={close}
        >
          <EditAccount key={opened.gateway_account_id} account={opened} gateway={gatewayOf(opened)} />
        </SidePanel>
      )}
    </Page>
  );
}
