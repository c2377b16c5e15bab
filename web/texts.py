"""Every word that a page shows, in Japanese and in English; a test keeps it complete and free of strays."""

from typing import Final, Literal

Language = Literal["ja", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("ja", "en")

_CHROME: Final = {
    "app.name": ("Sonobank", "Sonobank"),
    "app.skip": ("本文へ移動", "Skip to content"),
    "app.menu": ("メニュー", "Menu"),
    "app.settings": ("表示", "Display"),
    "app.demo": ("デモ", "Demo"),
    "app.home": ("ホーム", "Home"),
    "app.api": ("API の説明", "API reference"),
    "app.sign_out": ("サインアウト", "Sign out"),
    "app.signed_in_as": ("サインイン中", "Signed in as"),
    "app.other_language": ("English", "日本語"),
    "theme.light": ("明るい表示", "Light"),
    "theme.dark": ("暗い表示", "Dark"),
    "role.site": ("病院", "Hospital site"),
    "role.central": ("センター", "Central"),
    "role.pacs": ("PACS", "PACS"),
    "domain.all": ("全領域", "All domains"),
    "list.comma": ("、", ", "),
}

_SIGN_IN: Final = {
    "sign_in.title": ("サインイン", "Sign in"),
    "sign_in.name": ("ユーザー名", "User name"),
    "sign_in.password": ("パスワード", "Password"),
    "sign_in.submit": ("サインイン", "Sign in"),
    "sign_in.idle": (
        "15 分間操作がないと、自動的にサインアウトします。",
        "You are signed out after 15 minutes without use.",
    ),
    "sign_in.ended": (
        "サインアウトしました。保存済みの内容はそのまま残っています。続けるには、もう一度サインインしてください。",
        "You were signed out. What was saved is safe. Sign in again to go on.",
    ),
    "sign_in.wrong": (
        "ユーザー名またはパスワードが違います。確かめて、もう一度入力してください。",
        "The user name or the password is wrong. Check both and try again.",
    ),
    "sign_in.incomplete": (
        "ユーザー名とパスワードの両方を入力してください。",
        "Give both your user name and your password.",
    ),
    "sign_in.too_many": (
        "続けて失敗したため、しばらく受け付けません。1 分待ってから、もう一度お試しください。",
        "Too many tries for this account from this address. Wait a minute, then try again.",
    ),
    "sign_in.help": (
        "アカウントやパスワードについては、管理者にお尋ねください。",
        "Ask the administrator about accounts and passwords.",
    ),
}

_HOME: Final = {
    "home.title": ("ホーム", "Home"),
    "home.you": ("あなたの権限", "What you may do"),
    "home.no_rights": (
        "まだ権限がありません。管理者に役割の付与を依頼してください。",
        "You have no rights here yet. Ask the administrator for a role.",
    ),
    "home.nothing_here": (
        "この画面に表示できるものはありません。権限は「あなたの権限」のとおりです。",
        "There is nothing for you to see on this page. Your rights are listed under “What you may do”.",
    ),
    "home.state": ("状態", "State"),
    "home.total": ("合計", "Total"),
    "home.cases": ("症例", "Cases"),
    "home.count": ("件数", "Count"),
    "home.cases_empty": (
        "症例はまだありません。検査中にフラグを付けるか、API の POST /api/v1/cases で登録すると、ここに表示されます。",
        "No cases yet. Flag one during the examination, or with POST /api/v1/cases, and it appears here.",
    ),
    "home.packages": ("送信パッケージ", "Packages"),
    "home.packages_empty": (
        "送信パッケージはまだありません。症例を登録すると作られます。",
        "No packages yet. Registering a case makes one.",
    ),
    "home.bank": ("受け入れた症例", "Accepted cases"),
    "home.bank_empty": (
        "受け入れた症例はまだありません。病院から届いたパッケージが検査に合格すると、ここに表示されます。",
        "No cases accepted yet. A hospital's package appears here once it passes every check.",
    ),
    "home.site": ("施設", "Site"),
    "home.datasets": ("データセット", "Datasets"),
    "home.datasets_empty": (
        "データセットはまだありません。領域責任者が API の POST /api/v1/datasets で作成できます。",
        "No datasets yet. A domain lead makes one with POST /api/v1/datasets.",
    ),
    "home.dataset": ("名前", "Name"),
    "home.domain": ("領域", "Domain"),
    "home.frozen": ("固定済みの版", "Frozen version"),
    "home.newest": ("最新の版", "Newest version"),
    "home.none": ("なし", "none"),
    "home.studies": ("保存されている検査", "Stored studies"),
    "home.pacs_banner": (
        "デモ専用：識別情報を付けたファントム画像です。実在の患者の画像を保存しないでください。",
        "Demo only: identified phantoms. Never store images of real patients here.",
    ),
}

_RIGHTS: Final = {
    "right.cases:read": ("症例を見る", "See cases"),
    "right.cases:flag": ("症例にフラグを付ける", "Flag cases"),
    "right.cases:retrieve": ("PACS から画像を取得する", "Fetch images from the PACS"),
    "right.pixels:read": ("取得した画像を見る", "See the images of a case"),
    "right.cases:curate": (
        "画像選択、ROI、マスク確認、入力",
        "Pick images, draw ROIs, confirm masks, fill in the form",
    ),
    "right.cases:register": ("症例を登録する", "Register cases"),
    "right.opt-outs": ("オプトアウトを受け付ける", "Record opt-outs"),
    "right.peers": ("PACS の接続と休日を管理する", "Look after PACS connections and holidays"),
    "right.packages:read": ("送信パッケージの状態を見る", "See packages and their receipts"),
    "right.packages:send": ("送信パッケージを送り直す", "Send packages again"),
    "right.people": ("利用者とトークンを管理する", "Manage people and tokens"),
    "right.audit:read": ("監査記録を見る", "Read the audit log"),
    "right.dicom:read": ("DICOMweb で読み出す", "Read through DICOMweb"),
    "right.dicom:write": ("DICOMweb で保存する", "Store through DICOMweb"),
    "right.bank:read": ("受け入れた症例を見る", "See accepted cases"),
    "right.datasets:freeze": ("データセットを作り、版を固定する", "Make datasets and freeze versions"),
    "right.datasets:read": ("データセットを取得する", "Download datasets"),
    "right.parcels": ("パッケージを届ける", "Deliver packages"),
}

_STATES: Final = {
    "case.FLAGGED": ("フラグ済み", "Flagged"),
    "case.DEFERRED": ("保留", "Deferred"),
    "case.QUEUED": ("取得待ち", "Waiting to be fetched"),
    "case.RETRIEVING": ("取得中", "Being fetched"),
    "case.RETRIEVE_FAILED": ("取得できず", "Could not be fetched"),
    "case.CURATING": ("キュレーション待ち", "To curate"),
    "case.REGISTERED": ("登録済み", "Registered"),
    "case.EXCLUDED": ("対象外", "Excluded"),
    "case.RECALLED": ("取り戻し", "Recalled"),
    "case.WITHDRAWN": ("同意撤回", "Withdrawn"),
    "package.BUILDING": ("作成中", "Being built"),
    "package.DEIDENTIFIED": ("識別情報除去済み", "De-identified"),
    "package.STAGED": ("送信待ち", "Ready to send"),
    "package.SENT": ("送信済み", "Sent"),
    "package.SEND_FAILED": ("送信できず、再試行待ち", "Not sent, will be tried again"),
    "package.RECEIVED": ("到着", "Arrived"),
    "package.ACCEPTED": ("受け入れ済み", "Accepted"),
    "package.QUARANTINED": ("センターで隔離", "Quarantined at central"),
    "package.REPLICATED": ("クラウドに複製済み", "Copied to the cloud"),
    "package.TAKEN_BACK": ("取り消し", "Taken back"),
    "package.HELD": ("要確認", "Held: someone must look"),
    "version.BUILDING": ("作成中", "Being built"),
    "version.FROZEN": ("固定済み", "Frozen"),
    "version.FAILED": ("作成できず", "Could not be built"),
}

_DOCS: Final = {
    "docs.title": ("API の説明", "API reference"),
    "docs.intro": (
        "読み取りはこの画面のサインインのまま試せます。書き込みには、Authorization: Bearer のトークンが必要です。",
        "Reading works with your sign-in here. Writing needs a token, sent as Authorization: Bearer.",
    ),
    "docs.no_script": (
        "一覧の表示にはスクリプトが必要です。下のリンクから OpenAPI 文書を直接読むこともできます。",
        "The list needs scripts. The OpenAPI document can also be read directly by the link below.",
    ),
    "docs.openapi": ("OpenAPI 文書 (JSON)", "OpenAPI document (JSON)"),
}

_ERRORS: Final = {
    "error.back": ("ホームへ戻る", "Back to the home page"),
    "error.code": ("状態コード {status}", "Status {status}"),
    "error.400.title": ("この操作は受け付けられません", "This request cannot be taken"),
    "error.400.text": (
        "何も変更していません。前の画面に戻り、もう一度お試しください。",
        "Nothing was changed. Go back and try again.",
    ),
    "error.403.title": ("この操作はできません", "You may not do this"),
    "error.403.text": (
        "何も変更していません。必要な場合は、管理者に権限をご確認ください。別のサイトから開いた場合は、ホームから開き直してください。",
        "Nothing was changed. Ask the administrator about your rights. If you came from another site, start from the home page.",
    ),
    "error.404.title": ("ページが見つかりません", "There is no such page"),
    "error.404.text": (
        "アドレスが違うか、閲覧の権限がありません。ホームから開き直してください。",
        "The address is wrong, or you may not see it. Start again from the home page.",
    ),
    "error.409.title": ("ほかの人が先に変更しました", "Someone else changed this first"),
    "error.409.text": (
        "あなたの変更は保存していません。画面を読み込み直し、最新の内容を確かめてください。",
        "Your change was not saved. Load the page again and look at what is there now.",
    ),
    "error.429.title": ("回数が多すぎます", "Too many tries"),
    "error.429.text": ("1 分待ってから、もう一度お試しください。", "Wait a minute, then try again."),
    "error.500.title": ("処理を続けられませんでした", "Something went wrong here"),
    "error.500.text": (
        "何も変更していません。もう一度お試しください。続く場合は、時刻を添えて管理者へお知らせください。",
        "Nothing was changed. Try again; if it stays, tell the administrator the time at which it happened.",
    ),
    "error.503.title": ("ただいま応答できません", "A part of the system does not answer"),
    "error.503.text": (
        "保存済みの内容は残っています。少し待ってから、もう一度お試しください。",
        "What was saved is safe. Wait a little, then try again.",
    ),
}

TEXTS: Final[dict[str, tuple[str, str]]] = {
    **_CHROME, **_SIGN_IN, **_HOME, **_RIGHTS, **_STATES, **_DOCS, **_ERRORS,
}  # fmt: skip


def text(lang: Language, key: str, **values: object) -> str:
    """The words of `key`; `values` fill its {places}. Raises KeyError for a key that nobody wrote."""
    words = TEXTS[key][LANGUAGES.index(lang)]
    return words.format(**values) if values else words


def accepted(header: str) -> Language:
    """The language that a browser prefers (RFC 9110, 12.5.4); English when it asks for neither of ours."""
    best: tuple[float, Language] = (0.0, "en")
    for entry in header[:400].split(","):
        tag, _, parameters = entry.strip().partition(";")
        base = tag.partition("-")[0].lower()
        quality = _quality(parameters)
        for lang in LANGUAGES:
            if base == lang and quality > best[0]:
                best = (quality, lang)
    return best[1]


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    try:
        return float(value) if name.strip().lower() == "q" else 1.0
    except ValueError:
        return 0.0
