/**
 * Whether a text holds what is in all likelihood a card number: 13 to 19 digits in one piece or in the groups
 * that are printed on cards, beginning like a card brand's numbers do and with a right check digit (Luhn).
 */
export function holdsCardNumber(text: string): boolean {
  for (const [candidate] of text.matchAll(DIGIT_RUN)) if (isCardNumber(candidate)) return true;
  return false;
}

/** The text with an x in the place of each digit of such a number but the last four. */
export function maskCardNumbers(text: string): string {
  return text.replace(DIGIT_RUN, (candidate) =>
    isCardNumber(candidate) ? candidate.slice(0, -4).replace(/\d/g, 'x') + candidate.slice(-4) : candidate,
  );
}

function isCardNumber(candidate: string): boolean {
  const digits = candidate.replace(/[ -]/g, '');
  return BRAND.test(digits) && passesLuhn(digits);
}

const DIGIT_RUN =
  /(?<!\d)(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{4,5})(?!\d)/g;

// Diners, American Express, JCB, RuPay; Visa; Mastercard, Maestro; Discover, UnionPay, RuPay.
const BRAND = /^(?:3[0-9]|4|5[0-8]|6|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|8[12])/;

/** Whether the last digit is the check digit of those before it. */
export function passesLuhn(digits: string): boolean {
  let sum = 0;
  for (let place = 0; place < digits.length; place++) {
    const digit = Number(digits[digits.length - 1 - place]);
    const doubled = place % 2 === 1 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}
