import { Configuration, TokensApi } from "./client";
import type { TokenInfo } from "./client";

const [, session] = process.argv.slice(2);
// The address is that of the document.
const tokens = new TokensApi(new Configuration({ accessToken: session }));

async function main(): Promise<void> {
    const { tokenInfo } = await tokens.createToken({
        createToken: { name: "typescript-fetch", organization: "default", owner: "organization" },
    });
    const list = async (): Promise<TokenInfo[]> => (await tokens.listTokens({ q: "typescript-fetch" })).items;
    console.log((await list()).some((token) => token.id === tokenInfo.id && token.status === "active"));
    await tokens.revokeToken({ id: tokenInfo.id });
    console.log(!(await list()).some((token) => token.id === tokenInfo.id));
}

main();
