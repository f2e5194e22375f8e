/** What a password has to be, as the page tells it. */
export { NO_PASSWORD_WORDS, PASSWORD_LEAST, PASSWORD_MOST, PASSWORD_WORDS } from '../../access/password.ts';
