import { describe, expect, test } from 'vitest';
import { amountText } from '../../src/lib/money.ts';

describe('an amount in a sentence', () => {
  test.each<[number | bigint, number, string, string]>([
    [1250, 2, 'USD', '12.50 USD'],
    [1250, 0, 'JPY', '1250 JPY'],
    [1250, 3, 'KWD', '1.250 KWD'],
    [5, 3, 'KWD', '0.005 KWD'],
    [0, 2, 'EUR', '0.00 EUR'],
    [999_999_999_999_999n, 2, 'INR', '9999999999999.99 INR'],
  ])('%s minor units with %s decimals of %s are %s', (minor, exponent, currency, text) => {
    expect(amountText(minor, exponent, currency)).toBe(text);
  });
});
