import type { SecretBytes } from '../core/secret-bytes.ts'

/** A kubeconfig file of one cluster and one user. In JSON, which is YAML too. */
export function buildKubeconfig(server: string, authorityPem: string, token: SecretBytes): string {
  const name = 'minicluster'
  return JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name,
          cluster: {
            server,
            'certificate-authority-data': Buffer.from(authorityPem).toString('base64'),
          },
        },
      ],
      users: [{ name: 'latchkey', user: { token: token.use((bytes) => bytes.toString()) } }],
      contexts: [{ name, context: { cluster: name, user: 'latchkey' } }],
      'current-context': name,
    },
    undefined,
    2,
  )
}
