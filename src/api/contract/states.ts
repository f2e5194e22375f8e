/** The table of states, as the API tells it to those who draw with it. */
export { type PublicStatus, type RefundState, STATE_NAMES, STATES } from '../../refunds/states.ts';
