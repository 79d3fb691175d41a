import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { parse, stringify } from 'yaml'

import type { Cluster, ClusterNode } from './cluster/cluster.ts'
import { capture } from './cluster/command.ts'
import { ISSUER_HOST } from './cluster/furnishing.ts'
import { API_SERVER_URL } from './cluster/pki.ts'
import { RUN_FOLDER } from './cluster/run-folder.ts'
import { STORY_LABEL } from './cluster/cluster.ts'
import { blocksOf, commandsOf, sectionOf, type } from './guide.ts'

const PAGE = 'docs/sources/vault.md'

/** The namespace of the page's examples. */
export const SHOP = 'shop'

interface Patch {
  readonly target: { readonly kind: string; readonly name: string }
  readonly patch: string
}

interface ConfigMap {
  readonly data: Readonly<Record<string, string>>
}

interface Source {
  readonly name: string
  readonly auth: object
}

/**
 * What the page adds to the shipped manifests, for this Vault. Beside the page's source there are others of
 * the same Vault: where the pod names the role, and with the other ways to log in.
 */
export function vaultPatches(node: ClusterNode): object[] {
  const [, text = ''] = sectionOf(PAGE, 'In Latchkey').split(
    'Both in your `my-latchkey/kustomization.yaml`:',
  )
  const [printed = ''] = blocksOf(text, 'yaml')
  const { patches } = parse(printed) as { readonly patches: readonly Patch[] }
  return [
    ...patches.map((patch) =>
      patch.target.kind === 'ConfigMap'
        ? { ...patch, patch: configured(patch.patch, node) }
        : patch,
    ),
    {
      target: { kind: 'CSIDriver', name: 'csi.latchkey.dev' },
      patch: stringify([
        {
          op: 'add',
          path: '/spec/tokenRequests/-',
          value: { audience: `https://${ISSUER_HOST}`, expirationSeconds: 600 },
        },
      ]),
    },
  ]
}

function configured(patch: string, node: ClusterNode): string {
  const configMap = parse(patch) as ConfigMap
  const config = parse(configMap.data['config.yaml'] ?? '') as { readonly sources: Source[] }
  const [page] = config.sources
  if (page === undefined) throw new Error(`${PAGE} prints no source`)
  const prod = { ...page, address: node.vault.address }
  const others = Object.entries({
    'vault-open': { method: 'jwt' },
    'vault-keys': { method: 'jwt', mount: 'jwt-keys', role: 'shop' },
    'vault-reviewed': { method: 'kubernetes', role: 'shop' },
    'vault-unreviewed': { method: 'kubernetes', mount: 'unreviewed', role: 'shop' },
    'vault-self-reviewed': {
      method: 'kubernetes',
      mount: 'unreviewed',
      role: 'shop-own',
      audience: `https://${ISSUER_HOST}`,
    },
  }).map(([name, auth]) => ({ ...prod, name, auth }))
  const data = {
    ...configMap.data,
    'vault-ca.pem': node.vault.caPem,
    'config.yaml': stringify({ ...config, sources: [prod, ...others] }),
  }
  return stringify({ ...configMap, data })
}

/** Sets Vault up by typing the page's commands as printed, and adds what only stories want. */
export async function setUpVault(
  node: ClusterNode,
  cluster: Cluster,
  signal?: AbortSignal,
): Promise<void> {
  const folder = join(RUN_FOLDER, 'vault-guide')
  mkdirSync(folder)
  const programs = { kubectl: node.kubectl, vault: [node.vault.place.program] }
  const there = async (command: string): Promise<void> => {
    const printed = command
      .replace('https://API-SERVER:6443', API_SERVER_URL)
      .replace('db.example.org:5432/shop', `127.0.0.1:${node.postgres.port}/shop?sslmode=disable`)
    await type(node, printed, folder, programs, { env: node.vault.env, ...(signal && { signal }) })
  }
  await registerPlugins(node)
  await node.vault.run(['audit', 'enable', 'file', `file_path=${node.vault.place.auditFile}`])
  for (const sql of ['ROLE vault SUPERUSER LOGIN', 'ROLE shop_app', 'DATABASE shop']) {
    await node.postgres.query(`CREATE ${sql}`)
  }
  writeFileSync(join(folder, 'vault-db.password'), 'trusted-by-address')
  writeFileSync(
    join(folder, 'sa.pub'),
    await node.run(['cat', join(RUN_FOLDER, 'pki/sa.pub')]).then(({ stdout }) => stdout),
  )
  await furnishNamespaces(cluster)
  for (const command of commandsOf(PAGE, 'In Vault')) await there(command)
  for (const command of FOR_STORIES) await there(command)
}

/** Vault has them built in where it was not built small; here they are programs of their own. */
async function registerPlugins(node: ClusterNode): Promise<void> {
  const { pluginFolder } = node.vault.place
  for (const [kind, name, program] of [
    ['auth', 'kubernetes', 'vault-plugin-auth-kubernetes'],
    ['database', 'postgresql-database-plugin', 'postgresql-database-plugin'],
  ] as const) {
    const [sum = ''] = (await capture(['sha256sum', join(pluginFolder, program)])).split(' ')
    await node.vault.run([
      'plugin',
      'register',
      `-sha256=${sum}`,
      `-command=${program}`,
      kind,
      name,
    ])
  }
}

async function furnishNamespaces(cluster: Cluster): Promise<void> {
  const namespace = (name: string): object => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: { [STORY_LABEL]: '' } },
  })
  const items = [namespace('vault'), namespace(SHOP)]
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
  await cluster.kubectl(['apply', '-f', '-'], { input })
}

/** Any service account of the shop may have these roles: stories make many. */
const ANY_OF_SHOP = `"role_type": "jwt", "bound_audiences": ["vault"], "user_claim": "sub",
  "bound_claims": { "/kubernetes.io/namespace": "${SHOP}" },
  "claim_mappings": { "/kubernetes.io/pod/name": "pod" }, "token_policies": ["shop", "stories"]`

const FOR_STORIES = [
  'vault secrets enable -path=kv1 -version=1 kv',
  `vault policy write stories - <<'END'
path "kv1/shop/*" { capabilities = ["read"] }
path "database/creds/brief" { capabilities = ["read"] }
END`,
  // Named apart, so that stories which count the page's users do not meet them.
  `vault write database/config/brief plugin_name=postgresql-database-plugin allowed_roles=brief \
    username_template='brief-{{random 12}}' username=vault password=@vault-db.password \
    connection_url='postgresql://{{username}}:{{password}}@db.example.org:5432/shop'`,
  `vault write database/roles/brief db_name=brief default_ttl=30s max_ttl=60s \
    creation_statements="CREATE ROLE \\"{{name}}\\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE shop_app"`,
  // Sessions and leases that a story can wait the end of.
  `vault write auth/jwt/role/shop-brief - <<'END'
{ ${ANY_OF_SHOP}, "token_ttl": "20s", "token_max_ttl": "24h" }
END`,
  `vault write auth/jwt/role/shop-any - <<'END'
{ ${ANY_OF_SHOP}, "token_ttl": "20m", "token_max_ttl": "24h" }
END`,
  // The page's other ways, each at a mount of its own.
  'vault auth enable -path=jwt-keys jwt',
  `vault write auth/jwt-keys/config jwt_validation_pubkeys=@sa.pub bound_issuer=https://${ISSUER_HOST}`,
  `vault write auth/jwt-keys/role/shop - <<'END'
{ ${ANY_OF_SHOP}, "token_ttl": "20m", "token_max_ttl": "24h" }
END`,
  'vault auth enable -path=unreviewed kubernetes',
  'vault write auth/unreviewed/config kubernetes_host=https://API-SERVER:6443 kubernetes_ca_cert=@cluster-ca.crt',
  ...[
    ['shop', 'vault'],
    ['shop-own', `https://${ISSUER_HOST}`],
  ].map(
    ([role, audience]) =>
      `vault write auth/unreviewed/role/${role} bound_service_account_names='*' ` +
      `bound_service_account_namespaces=${SHOP} audience=${audience} token_policies=shop token_ttl=20m`,
  ),
]
