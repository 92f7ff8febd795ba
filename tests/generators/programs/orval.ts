import { createToken, listTokens, revokeToken } from "./client/client";
import type { TokenInfo } from "./client/model";

const [url, session] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${session}`, "Content-Type": "application/json" };
const fetched = globalThis.fetch;
globalThis.fetch = (path, options) => fetched(`${url}${path}`, options);

async function main(): Promise<void> {
    const created = await createToken({ name: "orval", organization: "default", owner: "organization" }, { headers });
    if (created.status !== 201) throw new Error(JSON.stringify(created.data));
    const id: string = created.data.token_info.id;
    const list = async (): Promise<TokenInfo[]> => {
        const page = await listTokens({ q: "orval" }, { headers });
        if (page.status !== 200) throw new Error(JSON.stringify(page.data));
        return page.data.items;
    };
    console.log((await list()).some((token) => token.id === id && token.status === "active"));
    const revoked = await revokeToken(id, {}, { headers });
    if (revoked.status !== 201) throw new Error(JSON.stringify(revoked.data));
    console.log(!(await list()).some((token) => token.id === id));
}

main();
