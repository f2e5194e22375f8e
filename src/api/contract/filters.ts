import { z } from 'zod';

/** The shapes of filters that several lists have. */

export const wordList = z
  .string()
  .max(1000)
  .regex(/^[A-Za-z0-9_-]+(,[A-Za-z0-9_-]+)*$/, 'words separated by commas');

export const currencyFilter = z.string().regex(/^[A-Z]{3}$/, 'an ISO 4217 code, such as INR');

export const decimalFilter = z
  .string()
  .regex(/^\d{1,15}(\.\d{1,4})?$/, 'decimal text in major units, such as "12.50"');

export const idPrefix = z.string().regex(/^[\x21-\x7e]{1,128}$/, '1 to 128 visible ASCII characters');

export const withBom = z
  .literal('true')
  .optional()
  .describe('Begin with a byte order mark, by which some spreadsheets know UTF-8.');
