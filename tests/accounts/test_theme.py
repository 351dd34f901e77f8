"""Light, dark or system theme, signed in or not."""


def test_the_choice_is_kept_and_the_page_comes_back(client, db):
    response = client.post("/theme/", {"theme": "dark", "next": "/sign-in/"})
    assert response["Location"] == "/sign-in/"
    assert client.cookies["theme"].value == "dark"
    assert 'data-theme="dark"' in client.get("/set-up/").content.decode()


def test_the_system_theme_deletes_the_cookie(client, db):
    client.post("/theme/", {"theme": "dark"})
    client.post("/theme/", {"theme": ""})
    assert client.cookies["theme"].value == ""
    assert "data-theme=" not in client.get("/set-up/").content.decode()


def test_an_unknown_theme_is_ignored(client, db):
    client.post("/theme/", {"theme": '"><script>'})
    assert client.cookies["theme"].value == ""


def test_without_a_next_page_it_goes_back_to_where_it_was_pressed(client, db):
    before = {"Referer": "http://testserver/set-up/"}
    assert client.post("/theme/", headers=before)["Location"] == "http://testserver/set-up/"
    before = {"Referer": "https://evil.example/"}
    assert client.post("/theme/", headers=before)["Location"] == "/"


def test_a_get_request_changes_nothing(client, db):
    assert client.get("/theme/?theme=dark").status_code == 405
