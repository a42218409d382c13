import type { Backend } from "./backend";

/** Changes wait for their answers from now on, until what comes back is called. */
export function holdChanges(backend: Backend): () => void {
  const { handle } = backend;
  let answer = () => {};
  const held = new Promise<void>((done) => (answer = done));
  backend.handle = async (request) => {
    if (request.method === "PATCH") await held;
    return handle(request);
  };
  return answer;
}
