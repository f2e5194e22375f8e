import {
  IconActivity,
  IconBuildingBank,
  IconBuildingStore,
  IconFlag,
  IconHome,
  IconKey,
  IconReceipt,
  IconReceiptRefund,
  IconUsers,
  IconWebhook,
} from '@tabler/icons-react';

export interface Place {
  readonly label: string;
  readonly to: string;
  readonly icon: typeof IconHome;
  /** Shown to those whose role has it. */
  readonly permission?: string;
  readonly counts?: 'manual_review';
}

/** The rail, group by group; the command palette offers the same. */
export const PLACES: readonly { readonly group: string | null; readonly places: readonly Place[] }[] = [
  { group: null, places: [{ label: 'Home', to: '/', icon: IconHome }] },
  {
    group: 'Operations',
    places: [
      { label: 'Orders', to: '/operations/orders', icon: IconReceipt },
      { label: 'Refunds', to: '/operations/refunds', icon: IconReceiptRefund },
      { label: 'Manual review', to: '/operations/review', icon: IconFlag, counts: 'manual_review' },
    ],
  },
  {
    group: 'Developers',
    places: [
      { label: 'API keys', to: '/developers/keys', icon: IconKey, permission: 'keys.manage' },
      { label: 'Webhooks', to: '/developers/webhooks', icon: IconWebhook },
      { label: 'Requests', to: '/developers/requests', icon: IconActivity, permission: 'requests.read' },
    ],
  },
  {
    group: 'Settings',
    places: [
      { label: 'Gateways', to: '/settings/gateways', icon: IconBuildingBank },
      { label: 'Team', to: '/settings/team', icon: IconUsers, permission: 'team.manage' },
      { label: 'Merchant', to: '/settings/merchant', icon: IconBuildingStore },
    ],
  },
];
