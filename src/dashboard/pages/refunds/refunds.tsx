export function Refunds() {
  return null;
}
