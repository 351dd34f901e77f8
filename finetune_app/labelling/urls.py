from django.urls import path

from finetune_app.labelling.views import assignment, ideas, label

app_name = "labelling"
urlpatterns = [
    path("write/ideas/", ideas.ideas, name="ideas"),
    path("label/", label.start, name="start"),
    path("label/undo/", label.undo_last, name="undo_last"),
    path("label/guidelines/", label.save_guidelines, name="save_guidelines"),
    path("label/together/", assignment.page, name="assignment"),
    path("label/together/share/", assignment.save_share, name="save_share"),
    path("label/together/assign/", assignment.assign, name="assign"),
    path("label/answers/", assignment.save_labels, name="save_labels"),
    path("label/<int:number>/", label.row, name="row"),
    path("label/<int:number>/keep/", label.save_draft, name="save_draft"),
]
