/** The statuses that commands end with. Those of batches say more. */
export const DONE = 0;
export const NOT_DONE = 1;
export const WRONG_COMMAND_LINE = 2;
export const SOME_REFUSED = 3;
