import { Text } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { createSpotlight, Spotlight } from '@mantine/spotlight';
import { IconFileInvoice, IconReceipt, IconReceiptRefund, IconSearch } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import type { Batch } from '../../api/contract/batches.ts';
import type { SearchAnswer } from '../../api/contract/search.ts';
import type { PublicStatus } from '../../api/contract/states.ts';
import { batchesQuery } from '../api/batches.ts';
import { searchQuery } from '../api/search.ts';
import { useMe } from '../api/session.ts';
import { STATUSES } from '../pages/batches/words.ts';
import { moneyText } from '../parts/amounts.ts';
import { statusWord } from '../parts/status.tsx';
import { PLACES } from './places.ts';

const [store, spotlight] = createSpotlight();

export const openPalette = spotlight.open;

/**
 * Search everything, and go anywhere, from the keyboard. Whatever id is pasted, its exact hit comes first, so that
 * Enter lands on it.
 */
export function Palette() {
  const [typed, setTyped] = useState('');
  const [asked] = useDebouncedValue(typed.trim(), 120);
  const navigate = useNavigate();
  const { permissions } = useMe();
  const found = useQuery({ ...searchQuery(asked), enabled: asked.length >= 2 });
  const mayReadBatches = permissions.includes('batches.read');
  const foundBatches = useQuery({
    ...batchesQuery({ search: asked, limit: 5 }),
    enabled: asked.length >= 2 && mayReadBatches,
    refetchInterval: false,
  });
  const places = PLACES.flatMap(({ places }) => places)
    .filter(({ permission }) => !permission || permissions.includes(permission))
    .filter(({ label }) => label.toLowerCase().includes(typed.trim().toLowerCase()));
  const hits = asked.length >= 2 ? (found.data?.hits ?? []) : [];
  const batches =
    asked.length >= 2 && !foundBatches.isPlaceholderData ? (foundBatches.data?.batches ?? []) : [];
  const waiting =
    typed.trim().length >= 2 && (asked !== typed.trim() || found.isFetching || foundBatches.isFetching);
  const [enteredFor, setEnteredFor] = useState<string | null>(null);
  const goToFirst = hits[0] ? () => goTo(hits[0]!) : batches[0] ? () => goToBatch(batches[0]!) : null;

  function goTo(hit: SearchAnswer['hits'][number]): void {
    spotlight.close();
    if (hit.kind === 'refund' && hit.refund_id !== null) {
      const params = { refundId: hit.refund_id };
      void navigate({ to: '/operations/refunds/$refundId', params, search: {} });
    } else {
      const params = { orderId: hit.order_id };
      void navigate({ to: '/operations/orders/$orderId', params, search: {} });
    }
  }

  function goToBatch({ batch_id: batchId }: Batch): void {
    spotlight.close();
    void navigate({ to: '/batch/$batchId', params: { batchId }, search: {} });
  }

  function goToPlace(to: string): void {
    spotlight.close();
    void navigate({ to });
  }

  // Whoever pastes an id and presses Enter does not wait for the list.
  useEffect(() => {
    if (enteredFor === null || waiting) return;
    setEnteredFor(null);
    if (enteredFor === asked) goToFirst?.();
  }, [enteredFor, waiting, asked, goToFirst]);

  return (
    <Spotlight.Root
      store={store}
      shortcut="mod + K"
      query={typed}
      onQueryChange={setTyped}
      scrollable
      maxHeight={420}
      clearQueryOnClose
      transitionProps={{ duration: 0 }}
      centered={false}
      overlayProps={{ blur: 0 }}
    >
      <Spotlight.Search
        placeholder="Order id, transaction id, refund id, gateway id, ARN, e-mail, phone, batch name, or a page"
        leftSection={<IconSearch size={18} />}
        aria-label="Search everything"
        onKeyDown={(event) => {
          // With arrow keys another row may have been chosen; the list then knows.
          if (event.key !== 'Enter' || document.querySelector('[data-action][data-selected]')) return;
          if (waiting) setEnteredFor(typed.trim());
          else if (goToFirst) goToFirst();
          else if (places[0]) goToPlace(places[0].to);
        }}
      />
      <Spotlight.ActionsList>
        {hits.length > 0 && (
          <Spotlight.ActionsGroup label="Found">
            {hits.map((hit) => (
              <Spotlight.Action
                key={`${hit.kind} ${hit.kind === 'refund' ? hit.refund_id : hit.order_id} ${hit.matched}`}
                onClick={() => goTo(hit)}
                leftSection={
                  hit.kind === 'refund' ? <IconReceiptRefund size={18} /> : <IconReceipt size={18} />
                }
                label={hit.kind === 'refund' ? `Refund of order ${hit.order_id}` : `Order ${hit.order_id}`}
                description={[
                  moneyText(hit.amount, hit.currency),
                  hit.kind === 'refund' ? statusWord(hit.status as PublicStatus) : hit.status,
                  hit.customer_email,
                  `${hit.matched} ${hit.value}`,
                ]
                  .filter(Boolean)
                  .join(' · ')}
              />
            ))}
          </Spotlight.ActionsGroup>
        )}
        {batches.length > 0 && (
          <Spotlight.ActionsGroup label="Batches">
            {batches.map((batch) => (
              <Spotlight.Action
                key={batch.batch_id}
                label={batch.name}
                description={STATUSES[batch.status].word}
                leftSection={<IconFileInvoice size={18} />}
                onClick={() => goToBatch(batch)}
              />
            ))}
          </Spotlight.ActionsGroup>
        )}
        {!waiting && places.length > 0 && (
          <Spotlight.ActionsGroup label="Pages">
            {places.map(({ label, to, icon: Icon }) => (
              <Spotlight.Action
                key={to}
                label={label}
                leftSection={<Icon size={18} />}
                onClick={() => goToPlace(to)}
              />
            ))}
          </Spotlight.ActionsGroup>
        )}
        {hits.length + batches.length === 0 && (waiting || places.length === 0) && (
          <Spotlight.Empty>
            {waiting ? (
              <Text size="sm">Searching …</Text>
            ) : (
              <Text size="sm">
                Nothing has this id, address, number or name. Ids are matched from their beginning.
              </Text>
            )}
          </Spotlight.Empty>
        )}
      </Spotlight.ActionsList>
    </Spotlight.Root>
  );
}
