//! The texts themselves. One line a text: name, English, Korean.

use types::{
    Address, Problem, ProblemKind, Role,
    api::{Compose, Delivery, DeliveryState, SharedFolder},
};

use super::Lang;
use crate::{state::owner_name, text::grouped};

macro_rules! texts {
    ($($name:ident: $en:literal, $ko:literal;)*) => {
        /// The texts of one language.
        #[derive(Debug)]
        pub(crate) struct Texts {
            pub(crate) lang: Lang,
            $(pub(crate) $name: &'static str,)*
        }
        pub(super) static EN: Texts = Texts { lang: Lang::En, $($name: $en,)* };
        pub(super) static KO: Texts = Texts { lang: Lang::Ko, $($name: $ko,)* };
    };
}

texts! {
    tagline: "Mail that arrives like good news.", "반가운 소식처럼 찾아오는 메일.";
    log_in: "Log in", "로그인";
    log_out: "Log out", "로그아웃";
    email: "Email address", "이메일 주소";
    password: "Password", "비밀번호";
    wrong_credentials: "The address or the password is wrong.", "이메일 주소 또는 비밀번호가 올바르지 않습니다.";
    too_many_logins: "Too many attempts. Please wait a minute, then try again.", "시도 횟수가 너무 많습니다. 잠시 후 다시 시도해 주세요.";
    login_failed: "Logging in did not work. Please try again.", "로그인하지 못했습니다. 다시 시도해 주세요.";

    compose: "Compose", "편지 쓰기";
    folders: "Folders", "편지함";
    new_folder: "New folder", "새 편지함";
    folder_name: "Name of the folder", "편지함 이름";
    rename_folder: "Rename folder", "편지함 이름 바꾸기";
    delete_folder: "Delete folder", "편지함 삭제";
    share_folder: "Share…", "공유…";
    shared_with_me: "Shared with me", "나와 공유됨";
    shared_with: "Shared with", "공유 대상";
    shared_with_nobody: "Nobody else sees this folder yet.", "아직 아무와도 공유하지 않았습니다.";
    share_address: "Address of somebody here", "공유할 사람의 주소";
    share: "Share", "공유";
    rights_of_new: "What they may do", "부여할 권한";
    may_read: "Can read", "읽기";
    may_write: "Can read and write", "읽기 및 쓰기";
    may_other: "Other rights", "기타 권한";
    stop_sharing: "Stop sharing", "공유 중지";
    no_such_account: "Nobody here has this address for their own.", "이 서비스에 해당 주소를 쓰는 사람이 없습니다.";
    done: "Done", "완료";
    folder_actions: "Folder actions", "편지함 작업";
    create: "Create", "만들기";
    rename: "Rename", "이름 바꾸기";
    cancel: "Cancel", "취소";
    close: "Close", "닫기";
    menu: "Menu", "메뉴";
    mail: "Mail", "메일";
    settings: "Settings", "설정";
    theme: "Theme", "테마";
    theme_auto: "As the system", "시스템 설정";
    theme_light: "Light", "밝게";
    theme_dark: "Dark", "어둡게";
    density: "Density", "목록 간격";
    comfortable: "Comfortable", "넓게";
    compact: "Compact", "좁게";
    language: "Language", "언어";
    storage: "Storage", "저장 공간";
    mail_programs: "Mail programs", "메일 프로그램";
    app_passwords_open: "App passwords…", "앱 비밀번호…";
    app_passwords: "App passwords", "앱 비밀번호";
    app_passwords_note: "Give each mail program (IMAP, POP3) a password of its own. Remove it here when a device is lost; your other devices stay logged in.", "메일 프로그램(IMAP, POP3)마다 전용 비밀번호를 만들어 쓰세요. 기기를 잃어버리면 여기서 그 비밀번호만 지우면 되고, 다른 기기는 그대로 쓸 수 있습니다.";
    app_password_name: "Program or device", "프로그램 또는 기기";
    own_password: "Your own password", "계정 비밀번호";
    wrong_own_password: "That is not the password of your account.", "계정 비밀번호가 올바르지 않습니다.";
    too_many_app_passwords: "You have as many app passwords as you may have. Remove one that is not used any more.", "앱 비밀번호를 더 만들 수 없습니다. 쓰지 않는 것을 먼저 지워 주세요.";
    no_app_passwords: "No mail program has a password of its own yet.", "아직 만든 앱 비밀번호가 없습니다.";
    last_used: "Last used", "마지막 사용";
    never_used: "Never used", "사용한 적 없음";
    copy: "Copy", "복사";
    copied: "Copied", "복사됨";

    search: "Search", "검색";
    search_mail: "Search mail", "메일 검색";
    search_clear: "Clear search", "검색 지우기";
    search_results: "Search results", "검색 결과";
    search_hint: "Words, or from: to: subject: has:attachment is:unread", "단어 또는 from: to: subject: has:attachment is:unread";
    filters: "Filters", "필터";
    all: "All", "전체";
    unread: "Unread", "안 읽음";
    starred: "Starred", "별표";
    attachments: "Attachments", "첨부 파일";
    messages: "Messages", "메일 목록";
    conversation: "Conversation", "대화";
    select: "Select", "선택";
    select_all: "Select all", "모두 선택";
    clear_selection: "Clear selection", "선택 해제";
    no_subject: "(no subject)", "(제목 없음)";
    no_sender: "(no sender)", "(보낸 사람 없음)";
    nobody: "(no recipient)", "(받는 사람 없음)";
    draft: "Draft", "임시 보관";
    resize_list: "Width of the message list", "메일 목록 너비";

    empty_inbox: "All read and sorted. Nothing is waiting for you.", "모두 확인했습니다. 기다리는 메일이 없습니다.";
    empty_folder: "There is no mail here.", "메일이 없습니다.";
    empty_filter: "No mail matches this filter.", "이 필터에 맞는 메일이 없습니다.";
    empty_search: "Nothing was found. Try fewer or other words.", "검색 결과가 없습니다. 다른 단어로 검색해 보세요.";
    empty_drafts: "No drafts. What you begin to write is kept here.", "임시 보관된 메일이 없습니다. 쓰던 메일이 여기에 저장됩니다.";
    empty_trash: "The trash is empty.", "휴지통이 비어 있습니다.";
    show_all: "Show all", "모두 보기";
    write_mail: "Write a mail", "메일 쓰기";
    search_begin: "Search the whole mailbox.", "메일함 전체에서 검색합니다.";
    choose_message: "Choose a message to read it here.", "읽을 메일을 선택하세요.";
    no_such_folder: "This folder does not exist (any more).", "이 편지함은 존재하지 않습니다.";
    to_inbox: "Go to the inbox", "받은편지함으로 이동";

    reply: "Reply", "답장";
    reply_all: "Reply all", "전체 답장";
    forward: "Forward", "전달";
    archive: "Archive", "보관";
    delete: "Delete", "삭제";
    delete_for_good: "Delete for good", "영구 삭제";
    move_to: "Move to…", "이동…";
    mark_unread: "Mark as unread", "안 읽음으로 표시";
    mark_read: "Mark as read", "읽음으로 표시";
    star: "Add star", "별표 추가";
    unstar: "Remove star", "별표 제거";
    spam: "Report spam", "스팸 신고";
    not_spam: "Not spam", "스팸 아님";
    more: "More", "더보기";
    back: "Back to the list", "목록으로";
    newer: "Newer message", "다음 메일";
    older: "Older message", "이전 메일";
    unsubscribe: "Unsubscribe", "수신 거부";
    unsubscribed: "You have asked to be taken off this list.", "수신 거부를 요청했습니다.";
    unsubscribe_failed: "The list could not be reached. Please try again later.", "발송처에 연결할 수 없습니다. 나중에 다시 시도해 주세요.";
    unsubscribe_page: "Unsubscribe on the sender’s page", "보낸 사람의 페이지에서 수신 거부";
    show_source: "Show original", "원본 보기";
    show_headers: "Show headers", "헤더 보기";
    details: "Details", "상세 정보";
    from: "From", "보낸 사람";
    to: "To", "받는 사람";
    cc: "Cc", "참조";
    bcc: "Bcc", "숨은 참조";
    reply_to: "Reply to", "회신 주소";
    sent: "Sent", "보낸 시각";
    received: "Received", "받은 시각";
    to_me: "to me", "나에게";
    verified: "The sender's domain is verified", "보낸 사람의 도메인이 확인되었습니다";
    unverified: "The sender's domain could not be verified", "보낸 사람의 도메인을 확인할 수 없습니다";
    forged: "The sender may be forged: the checks of its domain failed", "보낸 사람이 위조되었을 수 있습니다. 도메인 확인에 실패했습니다";
    images_held: "Remote images are held back, so that the sender does not learn that you read this.", "보낸 사람이 읽음 여부를 알 수 없도록 외부 이미지를 차단했습니다.";
    show_images: "Show images", "이미지 표시";
    quoted: "Show quoted text", "인용문 보기";
    message_body: "Text of the message", "메일 본문";
    download: "Download", "다운로드";
    replied: "Answered", "답장함";
    forwarded: "Forwarded", "전달함";

    new_message: "New message", "새 메일";
    subject: "Subject", "제목";
    text: "Text", "본문";
    write_here: "Write your message…", "내용을 입력하세요…";
    send: "Send", "보내기";
    sending: "Sending…", "보내는 중…";
    send_later: "Send later", "나중에 보내기";
    send_later_yes: "Schedule", "예약";
    in_an_hour: "In an hour", "1시간 후";
    tomorrow_morning: "Tomorrow morning", "내일 아침";
    monday_morning: "Monday morning", "월요일 아침";
    other_time: "Another time…", "날짜와 시간 선택…";
    date_and_time: "Date and time", "날짜와 시간";
    send_now: "Send now", "지금 보내기";
    in_the_past: "This time is over already.", "이미 지난 시간입니다.";
    scheduled: "To be sent", "예약됨";
    scheduled_toast: "It will be sent later.", "예약한 시간에 보냅니다.";
    take_back: "Take back", "보내기 취소";
    taken_back: "It is a draft again.", "임시보관함으로 되돌렸습니다.";
    undo_send: "Undo sending", "보내기 취소 시간";
    undo_send_off: "Not at all", "사용 안 함";
    sent_toast: "Sent.", "메일을 보냈습니다.";
    view_message: "View", "보기";
    attach: "Attach files", "파일 첨부";
    drop_files: "Drop files to attach them", "파일을 놓으면 첨부됩니다";
    discard: "Discard draft", "임시 보관 메일 삭제";
    discarded: "The draft was discarded.", "임시 보관 메일을 삭제했습니다.";
    saved: "Saved", "저장됨";
    saved_but_address: "Saved, but for the unfinished address", "저장됨 (입력 중인 주소 제외)";
    saving: "Saving…", "저장 중…";
    not_saved: "Not saved yet", "아직 저장되지 않음";
    save_failed: "Could not be saved. It is kept in this tab and tried again.", "저장하지 못했습니다. 이 탭에 보관하고 다시 시도합니다.";
    minimise: "Minimise", "최소화";
    full_page: "Full page", "전체 화면";
    dock: "Back to a small window", "작은 창으로";
    remove: "Remove", "제거";
    no_recipients: "Add at least one recipient.", "받는 사람을 한 명 이상 입력하세요.";
    not_an_address: "This is not an email address.", "이메일 주소가 아닙니다.";
    uploading: "Uploading", "업로드 중";
    not_uploaded: "Remove the file that was not uploaded; to send it along, attach it again.", "업로드하지 못한 파일을 제거하세요. 함께 보내려면 다시 첨부하세요.";
    still_uploading: "Wait until the attachments are uploaded.", "첨부 파일 업로드가 끝날 때까지 기다려 주세요.";
    upload_failed: "Not uploaded", "업로드 실패";
    forgot_attachment: "You write of an attachment, but there is none. Press Send again to send it as it is.", "첨부 파일을 언급했지만 첨부된 파일이 없습니다. 그대로 보내려면 다시 한 번 보내기를 누르세요.";
    draft_gone: "This draft was sent, changed or deleted elsewhere. Press Send again to send it all the same.", "다른 곳에서 이미 보냈거나 수정하거나 삭제한 메일입니다. 그래도 보내려면 다시 한 번 보내기를 누르세요.";
    no_subject_warning: "There is no subject. Press Send again to send it as it is.", "제목이 없습니다. 그대로 보내려면 다시 한 번 보내기를 누르세요.";
    signature_forward: "Forwarded message", "전달된 메일";

    undo: "Undo", "실행 취소";
    retry: "Try again", "다시 시도";
    dismiss: "Dismiss", "닫기";
    offline: "No connection. Changes are shown again as soon as it is back.", "연결이 끊어졌습니다. 다시 연결되면 자동으로 갱신됩니다.";
    refresh: "Refresh", "새로고침";
    not_found: "This message is not here any more. It may have been deleted.", "이 메일은 더 이상 존재하지 않습니다. 삭제되었을 수 있습니다.";
    page_not_found: "There is no such page.", "페이지를 찾을 수 없습니다.";
    session_ended: "Your session has ended. Please log in again.", "세션이 만료되었습니다. 다시 로그인해 주세요.";
    yesterday: "Yesterday", "어제";
    confirm_folder: "Its mail is deleted with it.", "안에 있는 메일도 함께 삭제됩니다.";
    confirm_delete: "Delete for good? This cannot be undone.", "영구 삭제할까요? 되돌릴 수 없습니다.";
    queued: "Waiting to be sent", "발송 대기 중";
    deferred: "Delayed, tried again", "지연됨, 재시도 예정";
    delivered: "Delivered", "전달됨";
    failed: "Not delivered", "전달 실패";
    dropped: "Removed from the queue by the operator", "관리자가 발송 대기열에서 제거했습니다";
    cut_off: "Removed from the queue by the operator while it was being sent; it may have arrived",
        "발송 중에 관리자가 발송 대기열에서 제거했습니다. 이미 전달되었을 수 있습니다";
    next_try: "Next try", "다음 시도";
    delivery: "Delivery", "전달 상태";
}

impl Texts {
    fn pick(&self, en: String, ko: String) -> String {
        match self.lang {
            Lang::En => en,
            Lang::Ko => ko,
        }
    }

    /// "1 conversation", as English wants its plurals; Korean has none.
    fn count(&self, n: u64, one: &str, many: &str, ko: &str) -> String {
        let shown = grouped(n);
        self.pick(format!("{shown} {}", if n == 1 { one } else { many }), format!("{ko} {shown}개"))
    }

    pub(crate) fn role(&self, role: Role) -> &'static str {
        let (en, ko) = match role {
            Role::Inbox => ("Inbox", "받은편지함"),
            Role::Drafts => ("Drafts", "임시보관함"),
            Role::Sent => ("Sent", "보낸편지함"),
            Role::Archive => ("Archive", "보관함"),
            Role::Junk => ("Spam", "스팸함"),
            Role::Trash => ("Trash", "휴지통"),
        };
        match self.lang {
            Lang::En => en,
            Lang::Ko => ko,
        }
    }

    pub(crate) fn delivery_state(&self, state: DeliveryState) -> &'static str {
        match state {
            DeliveryState::Queued => self.queued,
            DeliveryState::Deferred => self.deferred,
            DeliveryState::Delivered => self.delivered,
            DeliveryState::Failed => self.failed,
        }
    }

    /// What was said of a delivery: others say it in words of their own.
    pub(crate) fn delivery_reply(&self, reply: String) -> String {
        match reply.as_str() {
            Delivery::DROPPED => self.dropped.to_owned(),
            Delivery::CUT_OFF => self.cut_off.to_owned(),
            _ => reply,
        }
    }

    /// How long sending can be undone.
    pub(crate) fn for_seconds(&self, n: u16) -> String {
        self.pick(format!("For {n} seconds"), format!("{n}초"))
    }

    pub(crate) fn unread_count(&self, n: u64) -> String {
        self.pick(format!("{n} unread"), format!("안 읽은 메일 {n}개"))
    }

    pub(crate) fn draft_count(&self, n: u64) -> String {
        self.count(n, "draft", "drafts", "임시 보관 메일")
    }

    /// A subject as it is shown.
    pub(crate) fn subject_or_none(&self, subject: &str) -> String {
        let subject = subject.trim();
        if subject.is_empty() { self.no_subject } else { subject }.to_owned()
    }

    pub(crate) fn selected(&self, n: usize) -> String {
        self.pick(format!("{n} selected"), format!("{n}개 선택됨"))
    }

    pub(crate) fn message_count(&self, n: u64) -> String {
        self.count(n, "message", "messages", "메일")
    }

    pub(crate) fn found(&self, n: u64, estimate: bool) -> String {
        let shown = grouped(n);
        let about = if estimate { ("about ", "약 ") } else { ("", "") };
        self.pick(
            format!("{}{shown} {}", about.0, if n == 1 { "result" } else { "results" }),
            format!("검색 결과 {}{shown}개", about.1),
        )
    }

    pub(crate) fn more_people(&self, n: usize) -> String {
        self.pick(format!("and {n} more"), format!("외 {n}명"))
    }

    pub(crate) fn archived(&self, n: usize) -> String {
        self.pick(
            if n == 1 { "Archived.".into() } else { format!("{n} archived.") },
            format!("메일 {n}개를 보관했습니다."),
        )
    }

    pub(crate) fn deleted(&self, n: usize) -> String {
        self.pick(
            if n == 1 { "Moved to the trash.".into() } else { format!("{n} moved to the trash.") },
            format!("메일 {n}개를 휴지통으로 옮겼습니다."),
        )
    }

    pub(crate) fn moved(&self, n: usize, folder: &str) -> String {
        self.pick(
            if n == 1 { format!("Moved to {folder}.") } else { format!("{n} moved to {folder}.") },
            format!("메일 {n}개를 {folder}(으)로 옮겼습니다."),
        )
    }

    pub(crate) fn used(&self, used: &str, quota: &str) -> String {
        self.pick(format!("{used} of {quota} used"), format!("{quota} 중 {used} 사용"))
    }

    pub(crate) fn confirm_delete_folder(&self, name: &str) -> String {
        self.pick(format!("Delete the folder “{name}”?"), format!("‘{name}’ 편지함을 삭제할까요?"))
    }

    pub(crate) fn share_folder_named(&self, name: &str) -> String {
        self.pick(format!("Share “{name}”"), format!("‘{name}’ 공유"))
    }

    /// What somebody else may do with a folder, and the way to end it.
    pub(crate) fn rights_of(&self, who: &str) -> String {
        self.pick(format!("What {who} may do"), format!("{who} 님의 권한"))
    }

    pub(crate) fn stop_sharing_with(&self, who: &str) -> String {
        self.pick(format!("{} with {who}", self.stop_sharing), format!("{who} 님과 {}", self.stop_sharing))
    }

    pub(crate) fn app_password_made(&self, name: &str) -> String {
        self.pick(
            format!("The password for “{name}”. Enter it in the program now: it is shown only this once."),
            format!("‘{name}’의 비밀번호입니다. 지금 프로그램에 입력하세요. 다시 볼 수 없습니다."),
        )
    }

    pub(crate) fn remove_app_password(&self, name: &str) -> String {
        self.pick(format!("Remove the password of “{name}”"), format!("‘{name}’ 비밀번호 지우기"))
    }

    pub(crate) fn confirm_unsubscribe(&self, sender: &str) -> String {
        self.pick(format!("Unsubscribe from {sender}?"), format!("{sender} 메일의 수신을 거부할까요?"))
    }

    /// Who asks whom for it.
    pub(crate) fn unsubscribe_by_click(&self, host: &str) -> String {
        self.pick(
            format!("Magpie asks {host} to take you off the list. It can take a few days."),
            format!("Magpie가 {host}에 수신 거부를 요청합니다. 처리에 며칠이 걸릴 수 있습니다."),
        )
    }

    pub(crate) fn unsubscribe_by_mail(&self, address: &str) -> String {
        self.pick(
            format!("A mail that asks for it is sent to {address} in your name. It can take a few days."),
            format!("회원님 이름으로 {address}에 수신 거부 메일을 보냅니다. 처리에 며칠이 걸릴 수 있습니다."),
        )
    }

    pub(crate) fn confirm_delete_shared(&self, folder: &SharedFolder) -> String {
        let owner = owner_name(folder);
        self.pick(
            format!("Delete this mail of {owner}? It goes to the trash there, from where you cannot bring it back."),
            format!("{owner} 님의 메일을 삭제할까요? {owner} 님의 휴지통으로 옮겨지며, 직접 되돌릴 수 없습니다."),
        )
    }

    pub(crate) fn wrote(&self, when: &str, who: &str) -> String {
        self.pick(format!("On {when}, {who} wrote:"), format!("{when}, {who} 님이 작성:"))
    }

    pub(crate) fn select_message(&self, subject: &str) -> String {
        self.pick(format!("Select “{subject}”"), format!("‘{subject}’ 선택"))
    }

    pub(crate) fn page_title(&self, title: &str, unread: u64) -> String {
        if unread > 0 { format!("({unread}) {title} · Magpie") } else { format!("{title} · Magpie") }
    }

    /// A problem, said so that the reader knows what to do.
    pub(crate) fn problem(&self, problem: &Problem) -> String {
        let (en, ko) = match problem.kind() {
            ProblemKind::Unavailable => (
                "The server cannot be reached just now. Please try again.",
                "지금은 서버에 연결할 수 없습니다. 다시 시도해 주세요.",
            ),
            ProblemKind::Unauthenticated => (EN.session_ended, KO.session_ended),
            ProblemKind::NotFound => (EN.not_found, KO.not_found),
            ProblemKind::TooLarge => (
                "This is more than one mail may hold. Please take out some of the text or the attachments.",
                "메일 한 통에 담을 수 있는 크기를 넘었습니다. 내용이나 첨부파일을 줄여 주세요.",
            ),
            ProblemKind::QuotaExceeded => (
                "The mailbox is full. Delete some mail, then try again.",
                "저장 공간이 가득 찼습니다. 메일을 삭제한 뒤 다시 시도해 주세요.",
            ),
            ProblemKind::RateLimited => (
                "Too many requests. Please wait a moment, then try again.",
                "요청이 너무 많습니다. 잠시 후 다시 시도해 주세요.",
            ),
            ProblemKind::InvalidRequest | ProblemKind::Conflict | ProblemKind::Forbidden
                if self.lang == Lang::En && !problem.detail.is_empty() =>
            {
                return problem.detail.clone();
            }
            ProblemKind::InvalidRequest
                if problem.field.as_deref().is_some_and(|f| f.ends_with("].email")) =>
            {
                (
                    "One of the recipients' addresses is wrong.",
                    "받는 사람 주소가 잘못되었거나 없는 주소입니다. 주소를 확인해 주세요.",
                )
            }
            ProblemKind::InvalidRequest => ("This is not valid.", "올바르지 않은 요청입니다."),
            ProblemKind::Conflict => ("This cannot be done now.", "지금은 할 수 없는 작업입니다."),
            ProblemKind::Forbidden => ("This is not allowed.", "허용되지 않은 작업입니다."),
            ProblemKind::InvalidCredentials => (EN.wrong_credentials, KO.wrong_credentials),
            ProblemKind::InvalidCursor | ProblemKind::Internal => (
                "Something went wrong on our side. Please try again.",
                "문제가 발생했습니다. 다시 시도해 주세요.",
            ),
        };
        match self.lang {
            Lang::En => en.to_owned(),
            Lang::Ko => ko.to_owned(),
        }
    }

    /// Why this mail was not sent; the recipient whose address it is about is named.
    pub(crate) fn not_sent(&self, problem: &Problem, mail: &Compose) -> String {
        match (self.lang, meant(problem, mail)) {
            (Lang::Ko, Some(recipient)) if problem.kind() == ProblemKind::InvalidRequest => {
                format!("{}: 잘못되었거나 없는 주소입니다. 주소를 확인해 주세요.", recipient.email)
            }
            // In English the server names it.
            _ => self.problem(problem),
        }
    }
}

/// The recipient whose address is wrong, by a field like `cc[1].email`.
fn meant<'m>(problem: &Problem, mail: &'m Compose) -> Option<&'m Address> {
    let (list, index) = problem.field.as_deref()?.strip_suffix("].email")?.split_once('[')?;
    let list = match list {
        "to" => &mail.to,
        "cc" => &mail.cc,
        "bcc" => &mail.bcc,
        _ => return None,
    };
    list.get(index.parse::<usize>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_who_is_unknown_is_named() {
        let address = |email: &str| Address { name: String::new(), email: email.to_owned() };
        let mail = Compose {
            to: vec![address("a@x.test")],
            cc: vec![address("b@x.test"), address("nobody@x.test")],
            ..Compose::default()
        };
        let unknown = Problem::new(ProblemKind::InvalidRequest, "There is no mailbox nobody@x.test here.");
        let problem = unknown.clone().in_field("cc[1].email");
        for texts in [&EN, &KO] {
            let said = texts.not_sent(&problem, &mail);
            assert!(said.contains("nobody@x.test"), "{said}");
        }
        for field in ["cc[2].email", "from[0].email", "cc[x].email", "subject"] {
            let problem = unknown.clone().in_field(field);
            assert_eq!(KO.not_sent(&problem, &mail), KO.problem(&problem), "{field}");
        }
    }
}
