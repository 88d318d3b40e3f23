use serde_json::json;

use super::*;

#[test]
fn messages_travel_as_json_with_their_role() {
    let call = ToolCall { id: "c1".into(), name: "add".into(), arguments: "{}".into() };
    let messages = [
        ChatMessage::system("be brief"),
        ChatMessage::user("hi"),
        ChatMessage::assistant("hello"),
        ChatMessage::Assistant { content: String::new(), tool_calls: vec![call] },
        ChatMessage::tool("c1", "42"),
    ];
    let json = serde_json::to_value(&messages).unwrap();
    assert_eq!(
        json,
        json!([
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "hello"},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "name": "add", "arguments": "{}"}]},
            {"role": "tool", "call_id": "c1", "content": "42"},
        ])
    );
    for (message, json) in messages.iter().zip(json.as_array().unwrap()) {
        assert_eq!(json["role"], message.role());
        assert_eq!(json["content"], message.content());
    }
    let read: Vec<ChatMessage> = serde_json::from_value(json).unwrap();
    assert_eq!(read, messages);
}

#[test]
fn a_text_alone_is_one_message_of_the_user() {
    let text = String::from("hi");
    let user = ChatMessage::user("hi");
    for request in [
        ChatRequest::from("hi"),
        ChatRequest::from(&text),
        ChatRequest::from(text.clone()),
        ChatRequest::from(user.clone()),
        ChatRequest::from(vec![user.clone()]),
        ChatRequest::default().with_message(user.clone()),
    ] {
        assert_eq!(request, ChatRequest::new([user.clone()]));
    }
}
