// oidc-provider that issues what Haat issues, JWTs signed with EdDSA to a client with a secret: `haat-bench tokens`
// measures the two side by side. Says its process when it listens, and ends when its standard input does.

import { once } from 'node:events';

import { exportJWK, generateKeyPair } from 'jose';
import { Provider } from 'oidc-provider';

const { BENCH_PORT: port, BENCH_CLIENT_ID: id, BENCH_CLIENT_SECRET: secret, BENCH_SCOPE: scope } = process.env;
const url = `http://localhost:${port}`;
const { privateKey } = await generateKeyPair('EdDSA', { extractable: true });

const provider = new Provider(url, {
    clients: [
        {
            client_id: id,
            client_secret: secret,
            token_endpoint_auth_method: 'client_secret_basic',
            grant_types: ['client_credentials'],
            redirect_uris: [],
            response_types: [],
            scope,
            id_token_signed_response_alg: 'EdDSA',
        },
    ],
    scopes: [scope],
    jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: 'EdDSA', use: 'sig' }] },
    clientAuthMethods: ['client_secret_basic'],
    routes: { token: '/oauth/token', jwks: '/oauth/jwks' },
    ttl: { ClientCredentials: 3600 },
    features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        resourceIndicators: {
            enabled: true,
            defaultResource: () => url,
            getResourceServerInfo: () => ({
                scope,
                audience: url,
                accessTokenFormat: 'jwt',
                jwt: { sign: { alg: 'EdDSA' } },
            }),
        },
    },
});
const server = provider.listen(Number(port), '127.0.0.1');
await once(server, 'listening');
console.log(`listening ${process.pid}`);
process.stdin.resume().on('end', () => process.exit());
