// A real OpenID provider for the tests: node provider.mjs PORT CALLBACK. People are whoever types a name at its log-in;
// their groups are what stands after a + in that name: "ana+curators+it". Settings by environment: SECRET.
import Provider from "oidc-provider";

const [port, callback] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients: [{
    client_id: "sonobank",
    client_secret: process.env.SECRET,
    redirect_uris: [callback],
    token_endpoint_auth_method: "client_secret_basic",
  }],
  pkce: { required: () => true },
  claims: { openid: ["sub"], profile: ["name", "preferred_username"], groups: ["groups"] },
  scopes: ["openid", "profile", "groups"],
  features: { devInteractions: { enabled: true } },
  cookies: { keys: ["only for tests"] },
  findAccount: (_, id) => {
    const [name, ...groups] = id.split("+");
    return { accountId: id, claims: () => ({ sub: id, preferred_username: name, name, groups }) };
  },
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
