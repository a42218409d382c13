import { Page } from "../../components/Page";
export function Start() { return <Page title="Start">…</Page>; }
