export function Gateways() {
  return null;
}
