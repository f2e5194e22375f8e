import { ContractError } from '../errors.ts';

/** The refusals of the contract, word for word. Section numbers are those of the contract. */

const REFUND_REFUSED = { status_id: -1, status: 'ERROR' };

/** Section 1.4. */
export function accessDenied(): ContractError {
  return new ContractError(
    401,
    { status: 'error', error_code: 'access_denied' },
    {
      category: 'USER_ERROR',
      code: 'UNAUTHORIZED',
      developer_message: 'Invalid API Key. Please pass a valid and active api key.',
      user_message: 'Unauthorized.',
    },
  );
}

/** Section 2.4: the id was used before on this order. The first answer is not replayed. */
export function duplicateRequestId(): ContractError {
  return new ContractError(400, {
    ...REFUND_REFUSED,
    error_code: 'duplicate.call',
    error_message: 'A refund call was already completed with this unique_request_id for the order.',
  });
}

/** Section 2.4: the same amount again within five seconds. `status_id` is text here, as documented. */
export function sameAmountAgain(): ContractError {
  return new ContractError(400, {
    status_id: '-1',
    status: 'ERROR',
    error_code: 'duplicate.call',
    error_message: 'A refund call was already processing with this amount for the order.',
  });
}

/** Section 2.4. */
export function amountExceeded(): ContractError {
  const message = 'Refund amount exceeds the refundable amount.';
  return new ContractError(
    400,
    { ...REFUND_REFUSED, error_code: 'invalid.amount.exceeded', error_message: message },
    {
      category: 'USER_ERROR',
      href: 'NA',
      code: 'INVALID_INPUT',
      developer_message: message,
      user_message: 'Invalid request params. Please verify your input.',
    },
  );
}

/** Section 2.4: `amount` or `unique_request_id` was not passed. */
export function mandatoryFieldMissing(field: string): ContractError {
  return new ContractError(
    400,
    {
      status: 'Bad Request',
      error_code: 'Mandatory fields are missing',
      error_message: 'Mandatory fields are missing',
    },
    {
      category: 'USER_ERROR',
      code: 'MISSING_MANDATORY_PARAMETER',
      developer_message: 'Mandatory fields are missing',
      user_message: 'Invalid request params. Please verify your input.',
      fields: [{ field_name: field, reason: 'Missing field or Invalid Value' }],
    },
  );
}

/** Section 2.4: the amount is 0 or not valid; the reason says in which way. */
export function invalidAmount(reason: string): ContractError {
  return new ContractError(
    400,
    { ...REFUND_REFUSED, error_code: 'invalid amount', error_message: 'Amount is invalid.' },
    {
      category: 'USER_ERROR',
      code: 'INVALID_INPUT',
      developer_message: 'Amount is invalid.',
      user_message: 'Invalid request params. Please verify your input.',
      fields: [{ field_name: 'amount', reason }],
    },
  );
}

/** Sections 2.4 and 4.4: status 400, not 404. Another merchant's order is answered in the same words. */
export function orderNotFound(orderId: string): ContractError {
  return notFound({ order_id: orderId }, 'Order Not Found');
}

/** As for an order: the contract shows no answer to a transaction that is not known. */
export function transactionNotFound(txnId: string): ContractError {
  return notFound({ txn_id: txnId }, 'Transaction Not Found');
}

function notFound(asked: Readonly<Record<string, string>>, message: string): ContractError {
  return new ContractError(
    400,
    { status_id: 40, status: 'NOT_FOUND', ...asked },
    { category: 'USER_ERROR', code: 'RESOURCE_NOT_FOUND', developer_message: message, user_message: message },
  );
}

/** Section 2.4. */
export function orderNotCharged(): ContractError {
  return new ContractError(400, {
    ...REFUND_REFUSED,
    error_code: 'invalid.order.not_successful',
    error_message: 'Cannot process unsuccessful order.',
  });
}

/** Section 2.4: more than 25 refunds of one order. */
export function tooManyRefunds(): ContractError {
  return new ContractError(400, {
    ...REFUND_REFUSED,
    error_code: 'request.exceeded',
    error_message: 'An order can be refunded at most 25 times.',
  });
}

/** Section 2.4: the text is the contract's, the code ours. */
export function instantNotEnabled(): ContractError {
  return new ContractError(400, {
    ...REFUND_REFUSED,
    error_code: 'instant.refund.not_enabled',
    error_message: 'instant refund flag is not enabled',
  });
}

/** Section 5.1: a field that cannot be used. The reason says why and what would be accepted. */
export function invalidField(field: string, reason: string): ContractError {
  return invalidRequest(400, 'INVALID_INPUT', [{ field_name: field, reason }]);
}

/** Section 5.1, for an order id that is taken. */
export function orderExists(reason: string): ContractError {
  return invalidRequest(400, 'ALREADY_EXISTS', [{ field_name: 'order_id', reason }]);
}

/** A request that cannot be read or answered at all: section 5.1's shape under the status that HTTP has for it. */
export function badRequest(status: number, reason: string): ContractError {
  return new ContractError(
    status,
    { error_message: reason, status: 'Bad Request', error_code: 'INVALID_REQUEST' },
    {
      category: 'USER_ERROR',
      code: status === 404 ? 'RESOURCE_NOT_FOUND' : 'INVALID_INPUT',
      developer_message: reason,
      user_message: 'Invalid input data',
    },
  );
}

/** The contract names no refusal for too many calls; this one has the shape of the others. */
export function tooManyCalls(reason: string, retryAfterMs: number): ContractError {
  return new ContractError(
    429,
    { error_message: reason, status: 'error', error_code: 'TOO_MANY_REQUESTS' },
    {
      category: 'USER_ERROR',
      code: 'TOO_MANY_REQUESTS',
      developer_message: reason,
      user_message: 'Too many requests. Please try again later.',
    },
    retryAfterMs,
  );
}

/** Ours to put right, not the caller's. */
export function serverError(status: number, reason: string): ContractError {
  return new ContractError(
    status,
    { status: 'error', error_code: 'internal_error', error_message: reason },
    { category: 'SERVER_ERROR', code: 'INTERNAL_ERROR', developer_message: reason, user_message: reason },
  );
}

function invalidRequest(
  status: number,
  code: string,
  fields: readonly { field_name: string; reason: string }[],
): ContractError {
  return new ContractError(
    status,
    { error_message: 'Bad Request.', status: 'Bad Request', error_code: 'INVALID_REQUEST' },
    {
      category: 'USER_ERROR',
      code,
      developer_message: 'Invalid input data',
      user_message: 'Invalid input data',
      fields,
    },
  );
}
