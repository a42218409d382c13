import { Page } from "../../components/Page";
export function SegmentList() { return <Page title="SegmentList">…</Page>; }
