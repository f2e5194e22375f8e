export { errorSchema, refusalObject } from './contract/errors.ts';

/** What went wrong with which part of the request, where that can be said. */
export interface ErrorDetail {
  readonly field?: string | undefined;
  readonly value?: string | undefined;
  readonly accepted?: string | undefined;
  /** The earlier refund that stands in the way. */
  readonly refund_id?: string | undefined;
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
  /** When it may be asked again, where that is known. */
  readonly retryAfterMs: number | undefined;

  constructor(
    status: number,
    code: string,
    message: string,
    detail: ErrorDetail = {},
    retryAfterMs?: number,
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.retryAfterMs = retryAfterMs;
  }

  body(): { error: { code: string; message: string } & ErrorDetail } {
    return { error: { code: this.code, message: this.message, ...present(this.detail) } };
  }
}

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
  readonly retryAfterMs: number | undefined;
  private readonly content: Readonly<Record<string, unknown>>;
  private readonly info: ErrorInfo | undefined;

  constructor(
    status: number,
    content: Readonly<Record<string, unknown>>,
    info?: ErrorInfo,
    retryAfterMs?: number,
  ) {
    super(`${status} ${JSON.stringify(content)}`);
    this.status = status;
    this.content = content;
    this.info = info;
    this.retryAfterMs = retryAfterMs;
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
