export interface Grant {
  readonly namespace: string
  readonly secret: string
  readonly serviceAccount: string
}

/**
 * The two commands that let one service account read and watch one Secret and nothing else, a line
 * each. All three names have to be checked Kubernetes names: they go into a shell.
 */
export function grantHint({ namespace, secret, serviceAccount }: Grant): string {
  const role = `latchkey-${secret}`
  return [
    `kubectl -n ${namespace} create role ${role} --verb=get,watch --resource=secrets --resource-name=${secret}`,
    `kubectl -n ${namespace} create rolebinding ${role}-${serviceAccount} --role=${role} --serviceaccount=${namespace}:${serviceAccount}`,
  ].join('\n')
}
