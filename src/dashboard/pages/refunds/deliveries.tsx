import { Button, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { WebhookDelivery } from '../../../api/contract/webhook-endpoints.ts';
import { refundDeliveriesQuery } from '../../api/refunds.ts';
import { useMay } from '../../api/session.ts';
import { resendDelivery } from '../../api/webhooks.ts';
import { Refusal, useAct } from '../../parts/act.tsx';
import { Empty, Failed, Loading } from '../../parts/answers.tsx';
import { Sign } from '../../parts/status.tsx';
import { Time } from '../../parts/time.tsx';
import classes from './refund.module.css';

/** What was told of a refund to the merchant's endpoints, and the way to tell it again. */
export function Deliveries({ refundId }: { readonly refundId: string }) {
  const found = useQuery(refundDeliveriesQuery(refundId));
  const mayResend = useMay('webhooks.manage');
  if (found.isPending) return <Loading rows={3} />;
  if (found.isError) return <Failed error={found.error} onRetry={() => void found.refetch()} />;
  const { deliveries } = found.data;
  if (deliveries.length === 0) {
    return (
      <Empty title="No webhook of this refund has been sent or is due.">
        <Button component={Link} to="/developers/webhooks" variant="default">
          Webhook endpoints
        </Button>
      </Empty>
    );
  }
  return (
    <>
      {!mayResend && (
        <Text size="sm" c="dimmed">
          Your role may not send webhooks again.
        </Text>
      )}
      <ul className={classes.deliveries} aria-label="Webhook deliveries">
        {deliveries.map((delivery) => (
          <Delivery key={delivery.delivery_id} delivery={delivery} mayResend={mayResend} />
        ))}
      </ul>
    </>
  );
}

const SIGNS = {
  pending: { is: 'waits', word: 'Under way' },
  delivered: { is: 'good', word: 'Delivered' },
  given_up: { is: 'bad', word: 'Given up' },
} as const;

interface DeliveryProps {
  readonly delivery: WebhookDelivery;
  readonly mayResend: boolean;
}

function Delivery({ delivery, mayResend }: DeliveryProps) {
  const client = useQueryClient();
  const { busy, problem, run } = useAct();
  const resend = () =>
    void run(async () => {
      await resendDelivery(delivery.delivery_id);
      await client.invalidateQueries({ queryKey: ['deliveries'] });
    });
  return (
    <li>
      <div>
        <div className={classes.deliveryTitle}>
          <Sign {...SIGNS[delivery.state]} />
          <span className="mono">{delivery.event}</span>
        </div>
        <Text size="sm" c="dimmed" component="div">
          <Time at={delivery.created_at} exact />,{' '}
          {delivery.try_count === 1 ? '1 try' : `${delivery.try_count} tries`}
          {delivery.state === 'pending' && delivery.next_try_at && (
            <>
              , next <Time at={delivery.next_try_at} />
            </>
          )}
        </Text>
        {delivery.last_outcome_says && delivery.state !== 'delivered' && (
          <div>{delivery.last_outcome_says}</div>
        )}
        <div className={classes.where}>{delivery.order_webhook_url ?? <Endpoint delivery={delivery} />}</div>
        <Refusal problem={problem} />
      </div>
      <Button
        size="compact-sm"
        variant="default"
        loading={busy}
        disabled={!mayResend}
        onClick={resend}
        aria-label={`Send ${delivery.event} again`}
      >
        Send again
      </Button>
    </li>
  );
}

function Endpoint({ delivery }: { readonly delivery: WebhookDelivery }) {
  return (
    <Link to="/developers/webhooks" search={{ open: delivery.delivery_id }}>
      Tries and answers
    </Link>
  );
}
