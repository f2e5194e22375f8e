import { z } from 'zod';

/** What went wrong with which part of the request, where that can be said. */
export interface ErrorDetail {
  readonly field?: string | undefined;
  readonly value?: string | undefined;
  readonly accepted?: string | undefined;
}

/**
 * An answer that refuses a /v1 request: `{"error":{"code","message","field"?,"value"?,"accepted"?}}`. The code is
 * a stable word for programs, the message one plain sentence for people.
 */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly code: string;
  readonly detail: ErrorDetail;

  constructor(status: number, code: string, message: string, detail: ErrorDetail = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.detail = detail;
  }

  body(): { error: { code: string; message: string } & ErrorDetail } {
    return { error: { code: this.code, message: this.message, ...present(this.detail) } };
  }
}

export const refusalObject = z.object({
  code: z.string().describe('For programs; it does not change.'),
  message: z.string().describe('For people.'),
  field: z.string().optional(),
  value: z.string().optional().describe('What was sent, unless it is long or may be secret.'),
  accepted: z.string().optional(),
});

/** The body of an ApiError. */
export const errorSchema = z.object({ error: refusalObject }).meta({
  id: 'Error',
  examples: [
    {
      error: {
        code: 'amount_exceeds_rest',
        message:
          'Only 800.00 INR of the order is left to refund, refunds under way counted; nothing was refunded.',
        field: 'amount',
        value: '800.01',
        accepted: 'at most 800.00',
      },
    },
  ],
});

/** `error_info` of the contract (section 1.4), without the request's id, which the server adds. */
export interface ErrorInfo {
  readonly category: 'USER_ERROR' | 'SERVER_ERROR';
  readonly href?: 'NA';
  readonly code: string;
  readonly developer_message: string;
  readonly user_message: string;
  readonly fields?: readonly { readonly field_name: string; readonly reason: string }[];
}

/** An answer that refuses a request of the Juspay surface: the status and the body, key by key. */
export class ContractError extends Error {
  override readonly name = 'ContractError';
  readonly status: number;
  private readonly content: Readonly<Record<string, unknown>>;
  private readonly info: ErrorInfo | undefined;

  constructor(status: number, content: Readonly<Record<string, unknown>>, info?: ErrorInfo) {
    super(`${status} ${JSON.stringify(content)}`);
    this.status = status;
    this.content = content;
    this.info = info;
  }

  body(requestId: string): Record<string, unknown> {
    if (!this.info) return { ...this.content };
    const { category, ...rest } = this.info;
    return { ...this.content, error_info: { category, request_id: requestId, ...rest } };
  }
}

function present(detail: ErrorDetail): ErrorDetail {
  return Object.fromEntries(Object.entries(detail).filter(([, value]) => value !== undefined));
}
