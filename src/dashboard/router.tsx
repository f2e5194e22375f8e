import { QueryClient } from '@tanstack/react-query';
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  parseSearchWith,
  redirect,
  stringifySearchWith,
} from '@tanstack/react-router';
import type { Me } from '../api/contract/me.ts';
import { Problem } from './api/client.ts';
import { meQuery } from './api/session.ts';
import { NotFound, PageFailed } from './frame/fallbacks.tsx';
import { Shell } from './frame/shell.tsx';

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // A refusal stays one however often it is asked; only silence and overload may pass.
      retry: (count, error) =>
        count < 2 && error instanceof Problem && (error.status === 0 || error.status >= 502),
      refetchOnWindowFocus: true,
      refetchOnReconnect: true,
      // Without a network a question fails and says so. Left to wait, it would be asked once there is one again: for a
      // refund, long after the person gave it up.
      networkMode: 'always',
    },
    mutations: { networkMode: 'always' },
  },
});

/** What addresses may say behind "?": plain text under these names, all else is dropped. */
function search<Name extends string>(...names: readonly Name[]) {
  return (raw: Record<string, unknown>): { [name in Name]?: string | undefined } =>
    Object.fromEntries(
      names.flatMap((name) =>
        raw[name] === undefined || raw[name] === '' ? [] : [[name, String(raw[name])]],
      ),
    ) as { [name in Name]?: string | undefined };
}

const root = createRootRouteWithContext<{ queryClient: QueryClient }>()({
  component: Outlet,
  notFoundComponent: NotFound,
  errorComponent: PageFailed,
});

const signedOut = createRoute({
  getParentRoute: () => root,
  id: 'signed-out',
  component: lazyRouteComponent(() => import('./pages/sign-in/entrance.tsx'), 'Entrance'),
});

const signedIn = createRoute({
  getParentRoute: () => root,
  id: 'signed-in',
  component: Shell,
  beforeLoad: async ({ context, location }) => {
    let me: Me;
    try {
      me = await context.queryClient.ensureQueryData(meQuery);
    } catch (error) {
      if (error instanceof Problem && error.status === 401) {
        throw redirect({ to: '/sign-in', search: location.href === '/' ? {} : { back: location.href } });
      }
      throw error;
    }
    const lacksFactor = me.merchant.require_second_factor && me.user?.second_factor === false;
    if (lacksFactor && location.pathname !== '/account') throw redirect({ to: '/account' });
  },
});

const routeTree = root.addChildren([
  signedOut.addChildren([
    createRoute({
      getParentRoute: () => signedOut,
      path: '/sign-in',
      validateSearch: search('back'),
      component: lazyRouteComponent(() => import('./pages/sign-in/sign-in.tsx'), 'SignIn'),
    }),
    createRoute({
      getParentRoute: () => signedOut,
      path: '/join',
      component: lazyRouteComponent(() => import('./pages/sign-in/link.tsx'), 'OneTimeLink'),
    }),
    createRoute({
      getParentRoute: () => signedOut,
      path: '/reset',
      component: lazyRouteComponent(() => import('./pages/sign-in/link.tsx'), 'OneTimeLink'),
    }),
  ]),
  signedIn.addChildren([
    createRoute({
      getParentRoute: () => signedIn,
      path: '/',
      validateSearch: search('period', 'currency', 'gateway'),
      component: lazyRouteComponent(() => import('./pages/home/home.tsx'), 'Home'),
    }),
    createRoute({
      getParentRoute: () => signedIn,
      path: '/operations/orders',
      validateSearch: search(
        'q',
        'status',
        'gateway',
        'currency',
        'amount_from',
        'amount_to',
        'from',
        'to',
        'refunded',
        'sort',
        'cursor',
        'open',
        'tab',
        'view',
        'hide',
      ),
      component: lazyRouteComponent(() => import('./pages/orders/orders.tsx'), 'Orders'),
    }),
    createRoute({
      getParentRoute: () => signedIn,
      path: '/operations/orders/$orderId',
      validateSearch: search('tab'),
      component: lazyRouteComponent(() => import('./pages/orders/order.tsx'), 'OrderPage'),
    }),
    createRoute({
      getParentRoute: () => signedIn,
      path: '/operations/refunds',
      validateSearch: search(
        'q',
        'status',
        'state',
        'gateway',
        'currency',
        'amount_from',
        'amount_to',
        'from',
        'to',
        'overdue',
        'attention',
        'pending_days',
        'door',
        'batch_id',
        'initiated_by',
        'sort',
        'cursor',
        'open',
        'tab',
        'view',
        'hide',
      ),
      component: lazyRouteComponent(() => import('./pages/refunds/refunds.tsx'), 'Refunds'),
    }),
    createRoute({
      getParentRoute: () => signedIn,
      path: '/operations/refunds/$refundId',
      validateSearch: search('tab'),
      component: lazyRouteComponent(() => import('./pages/refunds/refund.tsx'), 'RefundPage'),
    }),
    createRoute({
      getParentRoute: () => signedIn,
      path: '/operations/review',
      validateSearch: search('open', 'tab', 'cursor'),
      component: lazyRouteComponent(() => import('./pages/refunds/review.tsx'), 'Review'),
    }),
    createRoute({
      getParentRoute: () => signedIn,
      path: '/batch/refunds',
      validateSearch: search('q', 'status', 'from', 'to', 'cursor'),
      component: lazyRouteComponent(() => import('./pages/batches/list.tsx'), 'RefundBatches'),
    }),
    createRoute({
      getParentRoute: () => signedIn,
      path: '/batch/status-updates',
      validateSearch: search('q', 'status', 'from', 'to', 'cursor'),
      component: lazyRouteComponent(() => import('./pages/batches/list.tsx'), 'StatusBatches'),
    }),
    createRoute({
      getParentRoute: () => signedIn,
      path: '/batch/new',
      validateSearch: search('kind'),
      component: lazyRouteComponent(() => import('./pages/batches/new-batch.tsx'), 'NewBatch'),
    }),
    createRoute({
      getParentRoute: () => signedIn,
      path: '/batch/$batchId',
      validateSearch: search('step', 'rows', 'cursor'),
      component: lazyRouteComponent(() => import('./pages/batches/batch.tsx'), 'BatchPage'),
    }),
    createRoute({
      getParentRoute: () => signedIn,
      path: '/approvals',
      component: lazyRouteComponent(() => import('./pages/approvals/approvals.tsx'), 'Approvals'),
    }),
    createRoute({
      getParentRoute: () => signedIn,
      path: '/developers/keys',
      component: lazyRouteComponent(() => import('./pages/developers/keys.tsx'), 'Keys'),
    }),
    createRoute({
      getParentRoute: () => signedIn,
      path: '/developers/webhooks',
      validateSearch: search('endpoint', 'status', 'event', 'order_id', 'from', 'to', 'cursor', 'open'),
      component: lazyRouteComponent(() => import('./pages/developers/webhooks.tsx'), 'Webhooks'),
    }),
    createRoute({
      getParentRoute: () => signedIn,
      path: '/developers/requests',
      validateSearch: search('status', 'code', 'path', 'caller', 'order_id', 'from', 'to', 'cursor', 'open'),
      component: lazyRouteComponent(() => import('./pages/developers/requests.tsx'), 'Requests'),
    }),
    createRoute({
      getParentRoute: () => signedIn,
      path: '/settings/gateways',
      component: lazyRouteComponent(() => import('./pages/settings/gateways.tsx'), 'Gateways'),
    }),
    createRoute({
      getParentRoute: () => signedIn,
      path: '/settings/team',
      validateSearch: search('cursor'),
      component: lazyRouteComponent(() => import('./pages/settings/team.tsx'), 'Team'),
    }),
    createRoute({
      getParentRoute: () => signedIn,
      path: '/settings/policy',
      component: lazyRouteComponent(() => import('./pages/settings/policy.tsx'), 'Policy'),
    }),
    createRoute({
      getParentRoute: () => signedIn,
      path: '/settings/merchant',
      component: lazyRouteComponent(() => import('./pages/settings/merchant.tsx'), 'Merchant'),
    }),
    createRoute({
      getParentRoute: () => signedIn,
      path: '/account',
      component: lazyRouteComponent(() => import('./pages/settings/account.tsx'), 'Account'),
    }),
  ]),
]);

export const router = createRouter({
  routeTree,
  context: { queryClient },
  defaultPreload: 'intent',
  scrollRestoration: true,
  // Text stays text: an order id of digits is no number.
  parseSearch: parseSearchWith((text) => text),
  stringifySearch: stringifySearchWith(String),
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
