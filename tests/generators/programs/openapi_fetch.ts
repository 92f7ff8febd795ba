import createClient from "openapi-fetch";
import type { components, paths } from "./client/schema";

const [url, session] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${session}` } });

async function main(): Promise<void> {
    const created = await client.POST("/api/v1/tokens", {
        body: { name: "openapi-fetch", organization: "default", owner: "organization" },
    });
    if (!created.data) throw new Error(created.error.detail.toString());
    const id: string = created.data.token_info.id;
    const list = async (): Promise<components["schemas"]["TokenInfo"][]> => {
        const page = await client.GET("/api/v1/tokens", { params: { query: { q: "openapi-fetch" } } });
        if (!page.data) throw new Error(page.error.detail.toString());
        return page.data.items;
    };
    console.log((await list()).some((token) => token.id === id && token.status === "active"));
    const revoked = await client.POST("/api/v1/tokens/{id}/revoke", { params: { path: { id } } });
    if (!revoked.data) throw new Error(revoked.error.detail.toString());
    console.log(!(await list()).some((token) => token.id === id));
}

main();
