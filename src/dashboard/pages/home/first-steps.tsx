import { Button } from '@mantine/core';
import { IconCheck } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { gatewayChoicesQuery } from '../../api/choices.ts';
import { ordersQuery } from '../../api/orders.ts';
import { endpointsQuery } from '../../api/webhooks.ts';
import { Page } from '../../parts/page.tsx';
import classes from './home.module.css';

/** What a new merchant does, in the order in which it is done. */
export function FirstSteps() {
  const gateways = useQuery(gatewayChoicesQuery).data?.length ?? 0;
  const orders = useQuery(ordersQuery({ limit: 1 })).data?.orders.length ?? 0;
  const endpoints = useQuery(endpointsQuery).data?.length ?? 0;
  const steps = [
    {
      title: 'Connect a gateway',
      about:
        'The payment gateway that took your customers’ money gives it back. The sandbox plays one without money.',
      done: gateways > 0,
      way: (
        <Button component={Link} to="/settings/gateways" variant="default">
          Gateways
        </Button>
      ),
    },
    {
      title: 'Bring orders in',
      about: 'Your shop records them by API as they are paid, or you import the ones that you have.',
      done: orders > 0,
      way: (
        <Button component="a" href="/docs" target="_blank" variant="default">
          API reference
        </Button>
      ),
    },
    {
      title: 'Make a test refund',
      about: 'Choose an order, refund a part of it, and watch what becomes of it.',
      done: false,
      way: (
        <Button component={Link} to="/operations/orders" variant="default">
          Orders
        </Button>
      ),
    },
    {
      title: 'Add a webhook',
      about: 'Your systems are told of every outcome, until they say that they have heard it.',
      done: endpoints > 0,
      way: (
        <Button component={Link} to="/developers/webhooks" variant="default">
          Webhooks
        </Button>
      ),
    },
  ];
  return (
    <Page title="Home" about="Four steps to your first refund. The figures come here after it.">
      <ol className={classes.steps} aria-label="First steps">
        {steps.map((step, at) => (
          <Step key={step.title} no={at + 1} {...step} />
        ))}
      </ol>
    </Page>
  );
}

interface StepProps {
  readonly no: number;
  readonly title: string;
  readonly about: string;
  readonly done: boolean;
  readonly way: ReactNode;
}

function Step({ no, title, about, done, way }: StepProps) {
  return (
    <li className={classes.step} data-done={done || undefined}>
      <span className={classes.no} aria-hidden>
        {done ? <IconCheck size={16} /> : no}
      </span>
      <div>
        <b>{title}</b>
        {done && <span className={classes.done}>done</span>}
        <div className={classes.stepAbout}>{about}</div>
      </div>
      {way}
    </li>
  );
}
