const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const SECRET_KEY = /^[-._a-zA-Z0-9]+$/
const MAX_CHARS = 253

/** RFC 1123 label: namespaces, volumes. */
export function isDnsLabel(text: string): boolean {
  return DNS_LABEL.test(text)
}

/** RFC 1123 subdomain: pods, service accounts, Secrets. */
export function isDnsSubdomain(text: string): boolean {
  return text.length <= MAX_CHARS && DNS_SUBDOMAIN.test(text)
}

/** A key of a Secret's `data`, by the rules of Kubernetes (IsConfigMapKey). */
export function isSecretKey(text: string): boolean {
  return text.length <= MAX_CHARS && SECRET_KEY.test(text) && text !== '.' && !text.startsWith('..')
}
