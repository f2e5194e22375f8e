import { Button, Text } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useMay } from '../../api/session.ts';
import { endpointsQuery } from '../../api/webhooks.ts';
import { Empty, Failed, Loading } from '../../parts/answers.tsx';
import { Page, Section } from '../../parts/page.tsx';
import { Deliveries } from './deliveries.tsx';
import { EndpointForm } from './endpoint-form.tsx';
import { EndpointRow } from './endpoints.tsx';

/** Where the merchant is told of refunds, how that goes, and everything that was sent. */
export function Webhooks() {
  const endpoints = useQuery(endpointsQuery);
  const mayManage = useMay('webhooks.manage');
  const [adding, setAdding] = useState(false);
  const add = mayManage && (
    <Button leftSection={<IconPlus size={16} />} onClick={() => setAdding(true)}>
      Add endpoint
    </Button>
  );
  return (
    <Page
      title="Webhooks"
      about={
        <>
          Your servers are told here what happens to refunds, in signed messages of the Juspay contract.
          {!mayManage && ' Only the role Admin may change endpoints and send again.'}
        </>
      }
      actions={add}
    >
      {endpoints.isPending && <Loading rows={3} />}
      {endpoints.isError && <Failed error={endpoints.error} onRetry={() => void endpoints.refetch()} />}
      {endpoints.data?.length === 0 && (
        <Empty title="Nobody is told yet: there is no endpoint.">
          <Text size="sm" c="dimmed">
            Orders that carry their own webhook address are told there all the same.
          </Text>
          {add}
        </Empty>
      )}
      {endpoints.data?.map((endpoint) => (
        <EndpointRow key={endpoint.endpoint_id} endpoint={endpoint} mayManage={mayManage} />
      ))}
      <Section title="Deliveries">
        <Deliveries endpoints={endpoints.data ?? []} mayManage={mayManage} />
      </Section>
      {adding && <EndpointForm endpoint={null} onClose={() => setAdding(false)} />}
    </Page>
  );
}
