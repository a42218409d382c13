/** People, the members of the project, and API tokens. */

import type { Member, Role, User } from "../../src/api/types";
import { mustBeCurrent, page, Refusal, type Handlers } from "./operations";
import type { Store } from "./store";

export const peopleHandlers = (store: Store): Handlers => ({
  listUsers: ({ query }) => page(store.users.all(), query),
  getUser: ({ path }) => store.users.read(path.user),
  createUser: ({ body }) => {
    if (store.users.all().some(({ email }) => email === body.email)) throw new Refusal(409, "key_taken", "somebody has this address already", { field: "/email" });
    const { password, ...fields } = body;
    const id = `u${store.users.size + 1}`;
    return store.users.add(id, { instanceAdmin: false, roles: {}, ...fields, id, hasPassword: Boolean(password), ...store.stamp() });
  },
  updateUser: ({ path, ifMatch, body }) => {
    const { password: _, currentPassword: __, ...fields } = body;
    return store.users.patch(path.user, ifMatch, fields);
  },
  archiveUser: ({ path, ifMatch }) => {
    if (path.user === store.person.user.id) throw new Refusal(409, "in_use", "the last administrator cannot be archived");
    store.users.archive(path.user, ifMatch);
  },
  createSignInLink: ({ path }) => {
    const { id } = store.users.read(path.user);
    return { link: `http://localhost:8580/#/link/tgl_${id}`, expiresAt: new Date(store.now().getTime() + 86_400_000).toISOString() };
  },

  listMembers: ({ path, query }) => {
    const members = store.users.all().filter(({ roles }) => roles[path.project]).map((user) => memberOf(user, path.project));
    return page(members, query);
  },
  setMember: ({ path, ifMatch, body, reason }) => memberOf(withRole(store, path, ifMatch, body.role, reason), path.project),
  removeMember: ({ path, ifMatch, reason }) => void withRole(store, path, ifMatch, null, reason),

  listTokens: ({ query }) => page(store.tokens.all(), query),
  createToken: ({ body }) => {
    const id = `t${store.tokens.size + 1}`;
    const token = store.tokens.add(id, { instanceAdmin: false, ...body, id, version: 1, createdAt: store.now().toISOString() });
    return { ...token, token: "tgt_abcdefghijklmnop_0123456789abcdef_d4e5f6" };
  },
  revokeToken: ({ path }) => void store.tokens.delete(path.token),
});

const memberOf = ({ id, name, email, roles, version }: User, project: string): Member => ({ id, name, email, role: roles[project] ?? "viewer", version });

function withRole(store: Store, { project, user: id }: { project: string; user: string }, ifMatch: string | null, role: Role | null, reason: string): User {
  const user = store.users.read(id);
  const { [project]: had, ...others } = user.roles;
  if (had) mustBeCurrent(ifMatch, user.version, "this membership");
  const next: User = { ...user, version: user.version + 1, roles: role ? { ...others, [project]: role } : others };
  store.users.set(id, next);
  store.record({ action: role ? "member.set" : "member.remove", resource: `member/${id}`, before: had ? { role: had } : null, after: role ? { role } : null, reason });
  return next;
}
