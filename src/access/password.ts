/** What a password has to be, in characters. */
export const PASSWORD_LEAST = 12;
export const PASSWORD_MOST = 128;
export const PASSWORD_LEAST_DIFFERENT = 5;

export const PASSWORD_WORDS = `at least ${PASSWORD_LEAST} characters, ${PASSWORD_LEAST_DIFFERENT} of them different`;
/** What it may not be, which easily-guessed.ts finds out. */
export const NO_PASSWORD_WORDS =
  'nothing that is often used as a password, nor rows of keys, nor made of your name, your e-mail, your merchant or Refundry';
