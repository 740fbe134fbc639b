// Runs the folders of examples/: each one's broker on its own configuration, its job files, scripts and manifests against it. Arguments: a free port for each broker.
import { ci } from './examples/ci.mjs'
import { exchangeCurl } from './examples/curl.mjs'
import { kubernetes } from './examples/kubernetes.mjs'
import { serverless } from './examples/serverless.mjs'
import { finish } from './steps.mjs'

const [ciPort, kubernetesPort, clusterPort, serverlessPort, curlPort] = process.argv.slice(2).map(Number)

await ci(ciPort)
if (process.env.KUBERNETES_TOKENS) await kubernetes(kubernetesPort, clusterPort)
await serverless(serverlessPort)
await exchangeCurl(curlPort)
finish()
