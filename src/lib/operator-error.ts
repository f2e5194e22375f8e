/**
 * Something the person who runs Refundry must put right. The message is whole sentences that say what is wrong
 * and what to do; the command line prints it as it is, without a stack, and exits with status 1.
 */
export class OperatorError extends Error {
  override readonly name = 'OperatorError';
}
