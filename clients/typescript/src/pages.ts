/** Lists as iterators that fetch their pages. */

interface Page<Item> {
  items: Item[];
  next_page_token?: string | null;
}

/**
 * Every item of a list: `for await (const each of items((page_token) => getSchedules({ client, query: { page_token },
 * throwOnError: true })))`.
 */
export async function* items<Item>(
  call: (token: string | undefined) => Promise<{ data: Page<Item> }>,
): AsyncGenerator<Item, void, undefined> {
  let token: string | undefined;
  do {
    const { data } = await call(token);
    yield* data.items;
    token = data.next_page_token ?? undefined;
  } while (token !== undefined);
}
