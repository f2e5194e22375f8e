export function Join() {
  return null;
}
export function Reset() {
  return null;
}
