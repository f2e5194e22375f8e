import {
  IconActivity,
  IconBuildingBank,
  IconBuildingStore,
  IconFileCheck,
  IconFileInvoice,
  IconFlag,
  IconHome,
  IconKey,
  IconReceipt,
  IconReceiptRefund,
  IconShieldCheck,
  IconUserCheck,
  IconUsers,
  IconWebhook,
} from '@tabler/icons-react';

export interface Place {
  readonly label: string;
  readonly to: string;
  readonly icon: typeof IconHome;
  /** Shown to those whose role has it. */
  readonly permission?: string;
  readonly counts?: 'manual_review' | 'approvals';
}

/** The rail, group by group; the command palette offers the same. */
export const PLACES: readonly { readonly group: string | null; readonly places: readonly Place[] }[] = [
  { group: null, places: [{ label: 'Home', to: '/', icon: IconHome }] },
  {
    group: 'Operations',
    places: [
      { label: 'Orders', to: '/operations/orders', icon: IconReceipt, permission: 'orders.read' },
      { label: 'Refunds', to: '/operations/refunds', icon: IconReceiptRefund, permission: 'refunds.read' },
      {
        label: 'Manual review',
        to: '/operations/review',
        icon: IconFlag,
        permission: 'refunds.read',
        counts: 'manual_review',
      },
    ],
  },
  {
    group: 'Batch operations',
    places: [
      { label: 'Batch refunds', to: '/batch/refunds', icon: IconFileInvoice, permission: 'batches.read' },
      {
        label: 'Status updates',
        to: '/batch/status-updates',
        icon: IconFileCheck,
        permission: 'batches.read',
      },
      {
        label: 'Approvals',
        to: '/approvals',
        icon: IconUserCheck,
        permission: 'batches.read',
        counts: 'approvals',
      },
    ],
  },
  {
    group: 'Developers',
    places: [
      { label: 'API keys', to: '/developers/keys', icon: IconKey, permission: 'keys.manage' },
      { label: 'Webhooks', to: '/developers/webhooks', icon: IconWebhook, permission: 'webhooks.read' },
      { label: 'Requests', to: '/developers/requests', icon: IconActivity, permission: 'requests.read' },
    ],
  },
  {
    group: 'Settings',
    places: [
      { label: 'Gateways', to: '/settings/gateways', icon: IconBuildingBank, permission: 'gateways.read' },
      { label: 'Team', to: '/settings/team', icon: IconUsers, permission: 'team.manage' },
      { label: 'Policy', to: '/settings/policy', icon: IconShieldCheck, permission: 'settings.read' },
      { label: 'Merchant', to: '/settings/merchant', icon: IconBuildingStore, permission: 'settings.read' },
    ],
  },
];
