import { ZxcvbnFactory } from '@zxcvbn-ts/core';
import { adjacencyGraphs, dictionary } from '@zxcvbn-ts/language-common';

/** What is known of whoever chooses a password, and so is tried first by whoever guesses it. */
export interface PasswordOwner {
  readonly email: string;
  readonly name: string;
  readonly merchantName: string;
}

/** A thousand million: what a stolen hash withstands for about a year on one machine, as scrypt is set here. */
const LEAST_GUESSES_LOG10 = 9;
/** The estimate takes longer the longer the text; what is good so far does not get worse by more. */
const LONGEST_LOOKED_AT = 64;
const SHORTEST_WORD = 3;

/**
 * Whether the password comes early in the lists that guessers work through: one of the 40,000 that are used most, rows of
 * keys, dates, repetitions, or made of the owner's e-mail and name, the merchant's name or ours.
 */
export function isEasilyGuessed(password: string, owner: PasswordOwner): boolean {
  const words = wordsOf(owner);
  const looked = password.slice(0, LONGEST_LOOKED_AT);
  // Whoever knows the words puts them together in every way: they add nothing.
  const without = words.reduce((text, word) => text.replaceAll(word, ''), looked.toLowerCase());
  return [looked, without].some((text) => estimator.check(text, words).guessesLog10 < LEAST_GUESSES_LOG10);
}

const estimator = new ZxcvbnFactory({ dictionary: { ...dictionary }, graphs: adjacencyGraphs });

function wordsOf({ email, name, merchantName }: PasswordOwner): string[] {
  const whole = [email, name, merchantName, 'refundry'];
  const parts = whole.flatMap((text) => text.split(/[^\p{L}\p{N}]+/u));
  return [...new Set([...whole, ...parts].map((word) => word.toLowerCase()))]
    .filter((word) => word.length >= SHORTEST_WORD)
    .sort((one, other) => other.length - one.length);
}
