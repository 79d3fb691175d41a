import { listOf, nameOf, type Node } from './kustomization.ts'

/** Everything in a set of manifests that gives somebody a right. */
export interface Rights {
  /** Every object, as KIND NAME. */
  readonly objects: readonly string[]
  readonly roles: Readonly<Record<string, unknown>>
  readonly bindings: Readonly<Record<string, unknown>>
  readonly accounts: Readonly<Record<string, unknown>>
  /** What a pod template is given beside its containers. */
  readonly pod: Readonly<Record<string, unknown>>
  readonly containers: Readonly<Record<string, unknown>>
  readonly volumes: Readonly<Record<string, unknown>>
}

export function rightsOf(objects: readonly Node[]): Rights {
  const named = (...kinds: readonly string[]): readonly Node[] =>
    objects.filter((object) => kinds.includes(String(object['kind'])))
  const template = podOf(named('DaemonSet')[0])
  const { containers, volumes, ...pod } = template
  return {
    objects: objects.map((object) => `${String(object['kind'])} ${nameOf(object)}`).toSorted(),
    roles: byName(named('ClusterRole', 'Role'), withoutHead),
    bindings: byName(named('ClusterRoleBinding', 'RoleBinding'), withoutHead),
    accounts: byName(named('ServiceAccount'), withoutHead),
    pod,
    containers: Object.fromEntries(
      (listOf(containers) as readonly Node[]).map(({ name, ...container }) => [
        String(name),
        // What a container is asked and allowed to take is no right.
        without(container, 'resources', 'livenessProbe', 'readinessProbe', 'image'),
      ]),
    ),
    volumes: Object.fromEntries(
      (listOf(volumes) as readonly Node[]).map(({ name, ...volume }) => [String(name), volume]),
    ),
  }
}

function podOf(workload: Node | undefined): Node {
  const { template } = workload?.['spec'] as { readonly template: { readonly spec: Node } }
  return template.spec
}

function byName(objects: readonly Node[], what: (object: Node) => unknown): Node {
  return Object.fromEntries(objects.map((object) => [nameOf(object), what(object)]))
}

function withoutHead(object: Node): Node {
  return without(object, 'apiVersion', 'kind', 'metadata')
}

function without(node: Node, ...names: readonly string[]): Node {
  return Object.fromEntries(Object.entries(node).filter(([name]) => !names.includes(name)))
}
