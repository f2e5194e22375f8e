/** An order, its transactions, as the tables have them. Amounts are minor units of the order's currency. */
export interface Order {
  readonly merchantId: string;
  readonly orderId: string;
  readonly orderUuid: string;
  /** A word of contract section 4.3: NEW, CHARGED, … */
  readonly status: string;
  readonly amountMinor: number;
  readonly currency: string;
  readonly exponent: number;
  readonly customerId: string | null;
  readonly customerEmail: string | null;
  readonly customerPhone: string | null;
  /** product_id, description, return_url, udf1 … udf10, addresses: under the contract's own names. */
  readonly details: Readonly<Record<string, unknown>>;
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Grows with every change of the order or its refunds. */
  readonly eventSeq: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface Transaction {
  readonly txnId: string;
  readonly txnUuid: string;
  readonly status: string;
  readonly amountMinor: number;
  readonly surchargeMinor: number;
  readonly offerMinor: number;
  /** What the customer really paid: amount + surcharge − offer. */
  readonly effectiveMinor: number;
  /** What its refunds have taken or hold: all but failed, cancelled and reversed ones. */
  readonly reservedMinor: number;
  readonly gateway: string;
  readonly gatewayAccountId: string;
  readonly gatewayPaymentId: string;
  readonly paymentMethodType: string | null;
  readonly paymentMethod: string | null;
  readonly chargedAt: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** What an order id may be made of: visible ASCII without blanks. */
export const ORDER_ID = /^[\x21-\x7e]{1,128}$/;

/** Statuses of a payment attempt (contract section 4.3). */
export const TRANSACTION_STATUSES = [
  'STARTED',
  'PENDING_VBV',
  'VBV_SUCCESSFUL',
  'AUTHORIZING',
  'AUTHORIZED',
  'CAPTURE_INITIATED',
  'COD_INITIATED',
  'CHARGED',
  'PARTIAL_CHARGED',
  'JUSPAY_DECLINED',
  'AUTHENTICATION_FAILED',
  'AUTHORIZATION_FAILED',
  'CAPTURE_FAILED',
  'VOID_INITIATED',
  'VOID_FAILED',
  'VOIDED',
  'AUTO_REFUNDED',
] as const;
