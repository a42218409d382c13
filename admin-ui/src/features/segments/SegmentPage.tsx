import { Page } from "../../components/Page";
export function SegmentPage() { return <Page title="SegmentPage">…</Page>; }
